"""Korean particles: their form depends on the last sound of the word before them.

``가중치`` ends in a vowel and takes 는, 가, 를; ``학습률`` ends in a consonant and takes
은, 이, 을.
Words in Latin letters, figures and signs are taken as they are read aloud: 3 is 삼, ``SGD`` ends
in 디, ``Adam`` in 담.
"""

from __future__ import annotations

import re

FIRST_SYLLABLE, LAST_SYLLABLE, FINALS = 0xAC00, 0xD7A3, 28
NONE, RIEUL, OTHER = 0, 8, 1
"""No final consonant, ㄹ, any other: 8 is the place of ㄹ among the final consonants."""

DIGITS = {"0": OTHER, "1": RIEUL, "3": OTHER, "6": OTHER, "7": RIEUL, "8": RIEUL}
"""영, 일, 삼, 육, 칠, 팔; 이, 사, 오 and 구 end in vowels."""
LETTERS = {"l": RIEUL, "m": OTHER, "n": OTHER, "r": RIEUL}
"""엘, 엠, 엔, 알; the names of all other letters end in vowels."""


def last_sound(text: str) -> int:
    """How a word ends when it is read aloud: without a final consonant, in ㄹ, or in another."""
    spoken = re.sub(r"(?<=\S)\s*\([^()]*\)[`*_\s\"”’'.…]*$", "", text)
    spoken = re.sub(r"[^0-9A-Za-z\uac00-\ud7a3%α-ω∞]+$", "", spoken)
    if not spoken:
        return NONE
    last = spoken[-1]
    if FIRST_SYLLABLE <= ord(last) <= LAST_SYLLABLE:
        final = (ord(last) - FIRST_SYLLABLE) % FINALS
        return final if final in (NONE, RIEUL) else OTHER
    if last.isdigit():
        return DIGITS.get(last, NONE)
    word = re.split(r"[^A-Za-z]", spoken)[-1]
    if not word:
        return NONE  # 퍼센트, 무한대, and the Greek letters
    if len(word) == 1 or word[-1].isupper():
        return LETTERS.get(last.lower(), NONE)
    if re.search("(l|le)$", word):
        return RIEUL
    # `Adam` ends in 담, `training` in 닝, `dropout` in 웃, but `weight` in 트.
    return OTHER if re.search("(m|n|ng|ne|me|[aeiou][pkt])$", word) else NONE


def particle(word: str, forms: str) -> str:
    """The form of a particle after a word.

    Args:
        word: What it follows.
        forms: The form after a consonant, a stroke, that after a vowel: ``은/는``, ``으로/로``.
    """
    after_consonant, _, after_vowel = forms.partition("/")
    sound = last_sound(word)
    if after_consonant.startswith("으") and sound == RIEUL:
        return after_vowel
    return after_consonant if sound != NONE else after_vowel


def with_particle(word: str, forms: str) -> str:
    """``("손실", "은/는")`` → ``손실은``."""
    return f"{word}{particle(word, forms)}"


class Word(str):
    """Text that takes particles where it is put: ``f"{Word('손실'):은/는}"`` is ``손실은``."""

    __slots__ = ()

    def __format__(self, forms: str) -> str:
        return with_particle(str(self), forms) if "/" in forms else super().__format__(forms)
