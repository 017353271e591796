"""What the report cites, numbered as it is cited."""

from __future__ import annotations

import re

REFERENCES = {
    "ioffe": "S. Ioffe and C. Szegedy. Batch normalization: accelerating deep network training "
    "by reducing internal covariate shift. ICML 2015. <https://arxiv.org/abs/1502.03167>",
    "maas": "A. L. Maas, A. Y. Hannun and A. Y. Ng. Rectifier nonlinearities improve neural "
    "network acoustic models. ICML 2013, workshop on deep learning for audio, speech and language "
    "processing.",
    "nair": "V. Nair and G. E. Hinton. Rectified linear units improve restricted Boltzmann "
    "machines. ICML 2010.",
    "he": "K. He, X. Zhang, S. Ren and J. Sun. Delving deep into rectifiers: surpassing "
    "human-level performance on ImageNet classification. ICCV 2015. "
    "<https://arxiv.org/abs/1502.01852>",
    "glorot": "X. Glorot and Y. Bengio. Understanding the difficulty of training deep feedforward "
    "neural networks. AISTATS 2010. <https://proceedings.mlr.press/v9/glorot10a.html>",
    "robbins": "H. Robbins and S. Monro. A stochastic approximation method. The Annals of "
    "Mathematical Statistics 22(3), 1951, 400–407. <https://doi.org/10.1214/aoms/1177729586>",
    "polyak": "B. T. Polyak. Some methods of speeding up the convergence of iteration methods. "
    "USSR Computational Mathematics and Mathematical Physics 4(5), 1964, 1–17. "
    "<https://doi.org/10.1016/0041-5553(64)90137-5>",
    "nesterov": "I. Sutskever, J. Martens, G. Dahl and G. Hinton. On the importance of "
    "initialization and momentum in deep learning. ICML 2013. "
    "<https://proceedings.mlr.press/v28/sutskever13.html>",
    "kingma": "D. P. Kingma and J. Ba. Adam: a method for stochastic optimization. ICLR 2015. "
    "<https://arxiv.org/abs/1412.6980>",
    "reddi": "S. J. Reddi, S. Kale and S. Kumar. On the convergence of Adam and beyond. ICLR "
    "2018. <https://arxiv.org/abs/1904.09237>",
    "duchi": "J. Duchi, E. Hazan and Y. Singer. Adaptive subgradient methods for online learning "
    "and stochastic optimization. Journal of Machine Learning Research 12, 2011, 2121–2159. "
    "<https://www.jmlr.org/papers/v12/duchi11a.html>",
    "saitoh": "K. Saitoh. Deep Learning from Scratch. O'Reilly Japan 2016, chapter 6. "
    "<https://github.com/oreilly-japan/deep-learning-from-scratch>",
    "higham": "N. J. Higham. Accuracy and Stability of Numerical Algorithms, 2nd edition. SIAM "
    "2002, section 3.1. <https://doi.org/10.1137/1.9780898718027>",
    "lecun": "Y. LeCun, L. Bottou, Y. Bengio and P. Haffner. Gradient-based learning applied to "
    "document recognition. Proceedings of the IEEE 86(11), 1998, 2278–2324. "
    "<https://doi.org/10.1109/5.726791>",
    "simard": "P. Y. Simard, D. Steinkraus and J. C. Platt. Best practices for convolutional "
    "neural networks applied to visual document analysis. ICDAR 2003, 958–963. "
    "<https://doi.org/10.1109/ICDAR.2003.1227801>",
    "mcnemar": "Q. McNemar. Note on the sampling error of the difference between correlated "
    "proportions or percentages. Psychometrika 12(2), 1947, 153–157. "
    "<https://doi.org/10.1007/BF02295996>",
    "agresti": "A. Agresti and Y. Min. Simple improved confidence intervals for comparing matched "
    "proportions. Statistics in Medicine 24(5), 2005, 729–740. "
    "<https://doi.org/10.1002/sim.1781>",
    "wilson": "E. B. Wilson. Probable inference, the law of succession, and statistical "
    "inference. Journal of the American Statistical Association 22(158), 1927, 209–212. "
    "<https://doi.org/10.1080/01621459.1927.10502953>",
    "efron": "B. Efron. Bootstrap methods: another look at the jackknife. The Annals of "
    "Statistics 7(1), 1979, 1–26. <https://doi.org/10.1214/aos/1176344552>",
    "schmeiser": "B. Schmeiser. Batch size effects in the analysis of simulation output. "
    "Operations Research 30(3), 1982, 556–568. <https://doi.org/10.1287/opre.30.3.556>",
    "student": "Student. The probable error of a mean. Biometrika 6(1), 1908, 1–25. "
    "<https://doi.org/10.1093/biomet/6.1.1>",
    "schuirmann": "D. J. Schuirmann. A comparison of the two one-sided tests procedure and the "
    "power approach for assessing the equivalence of average bioavailability. Journal of "
    "Pharmacokinetics and Biopharmaceutics 15(6), 1987, 657–680. "
    "<https://doi.org/10.1007/BF01068419>",
    "srivastava": "N. Srivastava, G. Hinton, A. Krizhevsky, I. Sutskever and R. Salakhutdinov. "
    "Dropout: a simple way to prevent neural networks from overfitting. Journal of Machine "
    "Learning Research 15, 2014, 1929–1958. <https://jmlr.org/papers/v15/srivastava14a.html>",
    "elfwing": "S. Elfwing, E. Uchibe and K. Doya. Sigmoid-weighted linear units for neural "
    "network function approximation in reinforcement learning. Neural Networks 107, 2018, 3–11. "
    "<https://doi.org/10.1016/j.neunet.2017.12.012>",
    "efficient": "Y. LeCun, L. Bottou, G. B. Orr and K.-R. Müller. Efficient BackProp. In Neural "
    "Networks: Tricks of the Trade, Springer 1998, section 4.6. "
    "<https://doi.org/10.1007/3-540-49430-8_2>",
    "tieleman": "T. Tieleman and G. Hinton. Lecture 6.5: RMSprop. Neural Networks for Machine "
    "Learning, Coursera 2012.",
    "loshchilov": "I. Loshchilov and F. Hutter. Decoupled weight decay regularization. ICLR 2019. "
    "<https://arxiv.org/abs/1711.05101>",
    "zeiler": "M. D. Zeiler. ADADELTA: an adaptive learning rate method. 2012. "
    "<https://arxiv.org/abs/1212.5701>",
    "pytorch": "A. Paszke et al. PyTorch: an imperative style, high-performance deep learning "
    "library. NeurIPS 2019. <https://arxiv.org/abs/1912.01703>",
    "numpy": "C. R. Harris et al. Array programming with NumPy. Nature 585, 2020, 357–362. "
    "<https://doi.org/10.1038/s41586-020-2649-2>",
}


class Bibliography:
    """Gives each source its number when it is first cited, and lists them in that order."""

    def __init__(self) -> None:
        self._cited: list[str] = []

    def cite(self, key: str) -> str:
        """``[3]``, for the text."""
        if key not in self._cited:
            self._cited.append(key)
        assert key in REFERENCES
        return f"\\[{self._cited.index(key) + 1}\\]"

    def cite_doi(self, source: str) -> str:
        """``[1], figure 9`` for a source that is in the list by its DOI; empty for any other.

        Args:
            source: Authors, title, place in the work and DOI, with commas between them.
        """
        for key, reference in REFERENCES.items():
            doi = re.search(r"<(https://doi\.org/[^>]+)>", reference)
            if doi and doi[1] in source:
                place = re.search(r"\b(figure|table|section|page) \S+(?=,|$)", source)
                return self.cite(key) + (f", {place[0]}" if place else "")
        return ""

    def listed(self) -> list[str]:
        """The sources cited so far."""
        return [REFERENCES[key] for key in self._cited]
