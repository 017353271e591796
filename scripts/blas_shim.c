/* The wheel of NumPy for Linux calls its own OpenBLAS under names of its own (scipy_cblas_…64_,
 * with integers of 64 bits). This library has these names and passes the calls on to another BLAS
 * under the usual ones, with integers of 32 bits: so the same NumPy runs on either.
 *
 *     cc -O2 -shared -fPIC -o shim.so scripts/blas_shim.c -L FOLDER -l:libblis.so.4 -Wl,-rpath,FOLDER
 *     LD_PRELOAD=./shim.so python …
 *
 * The functions are those that NumPy calls on real matrices and vectors. */

#include <stdint.h>

typedef int64_t wide;

#define FOR(kind, real)                                                                            \
    void cblas_##kind##gemm(int, int, int, int, int, int, real, const real *, int, const real *,   \
                            int, real, real *, int);                                               \
    void cblas_##kind##gemv(int, int, int, int, real, const real *, int, const real *, int, real,  \
                            real *, int);                                                          \
    void cblas_##kind##syrk(int, int, int, int, int, real, const real *, int, real, real *, int);  \
    void cblas_##kind##axpy(int, real, const real *, int, real *, int);                            \
    real cblas_##kind##dot(int, const real *, int, const real *, int);                             \
                                                                                                   \
    void scipy_cblas_##kind##gemm64_(int order, int ta, int tb, wide m, wide n, wide k,            \
                                     real alpha, const real *a, wide lda, const real *b,           \
                                     wide ldb, real beta, real *c, wide ldc)                       \
    {                                                                                              \
        cblas_##kind##gemm(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);           \
    }                                                                                              \
    void scipy_cblas_##kind##gemv64_(int order, int ta, wide m, wide n, real alpha, const real *a, \
                                     wide lda, const real *x, wide dx, real beta, real *y,         \
                                     wide dy)                                                      \
    {                                                                                              \
        cblas_##kind##gemv(order, ta, m, n, alpha, a, lda, x, dx, beta, y, dy);                    \
    }                                                                                              \
    void scipy_cblas_##kind##syrk64_(int order, int uplo, int ta, wide n, wide k, real alpha,      \
                                     const real *a, wide lda, real beta, real *c, wide ldc)        \
    {                                                                                              \
        cblas_##kind##syrk(order, uplo, ta, n, k, alpha, a, lda, beta, c, ldc);                    \
    }                                                                                              \
    void scipy_cblas_##kind##axpy64_(wide n, real alpha, const real *x, wide dx, real *y, wide dy) \
    {                                                                                              \
        cblas_##kind##axpy(n, alpha, x, dx, y, dy);                                                \
    }                                                                                              \
    real scipy_cblas_##kind##dot64_(wide n, const real *x, wide dx, const real *y, wide dy)        \
    {                                                                                              \
        return cblas_##kind##dot(n, x, dx, y, dy);                                                 \
    }

FOR(s, float)
FOR(d, double)
