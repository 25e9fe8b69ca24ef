// Total variation of one image by the primal-dual steps that variation.py describes, all of them in one pass.
//
// Step k treats row r once step k - 1 has treated row r + 1. So the steps follow one another through the image as
// waves, one row apart, and what is between the first and the last wave stays in the cache.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <new>
#include <vector>

namespace {

constexpr int64_t kCache = 1 << 19;  // bytes that the rows between two waves may take
constexpr int64_t kRim = 16;         // zeros on the left of every row of the dual field

template <typename Real>
struct Field {
  int64_t rows, columns, pitch;
  std::vector<Real> memory;
  Field(int64_t rows, int64_t columns)
      : rows(rows), columns(columns), pitch(columns + kRim), memory((rows + 1) * pitch + kRim) {}
  Real *row(int64_t r) { return memory.data() + (r + 1) * pitch + kRim; }  // row -1 holds zeros
};

template <typename Real>
struct Solver {
  static constexpr Real kRelaxation = Real(1.7);
  int64_t rows, columns;
  Real weight, mean;
  const Real *image;
  Real *u;
  Field<Real> ahead, px, py;

  Solver(const Real *image, Real *u, int64_t rows, int64_t columns, Real mean, Real weight)
      : rows(rows), columns(columns), weight(weight), mean(mean), image(image), u(u), ahead(rows, columns),
        px(rows, columns), py(rows, columns) {}

  void start(int64_t r) {
    const Real *f = image + r * columns;
    Real *v = ahead.row(r), *to = u + r * columns;
    for (int64_t c = 0; c < columns; ++c) to[c] = v[c] = f[c] - mean;
  }

  void finish(int64_t r) {
    Real *to = u + r * columns;
    for (int64_t c = 0; c < columns; ++c) to[c] += mean;
  }

  void step(int64_t r) {
    dual(ahead.row(r), ahead.row(std::min(r + 1, rows - 1)), px.row(r), py.row(r));
    primal(image + r * columns, px.row(r), py.row(r), py.row(r - 1), ahead.row(r), u + r * columns);
  }

  void dual(const Real *__restrict v, const Real *__restrict below, Real *__restrict x, Real *__restrict y) const {
    const Real squared = weight * weight;
    const int64_t last = columns - 1;
    for (int64_t c = 0; c < last; ++c) {
      const Real qx = x[c] + (v[c + 1] - v[c]), qy = y[c] + (below[c] - v[c]);
      const Real length = squared * (qx * qx + qy * qy);
      const Real scale = 2 / (1 + std::sqrt(length) + std::sqrt(1 + length));
      x[c] += kRelaxation * (qx * scale - x[c]);
      y[c] += kRelaxation * (qy * scale - y[c]);
    }
    const Real q = y[last] + (below[last] - v[last]), length = squared * q * q;
    const Real scale = 2 / (1 + std::sqrt(length) + std::sqrt(1 + length));
    y[last] += kRelaxation * (q * scale - y[last]);
  }

  void primal(const Real *__restrict f, const Real *__restrict x, const Real *__restrict y,
              const Real *__restrict above, Real *__restrict v, Real *__restrict to) const {
    for (int64_t c = 0; c < columns; ++c) {
      const Real divergence = (x[c] - x[c - 1]) + (y[c] - above[c]);
      const Real change = ((f[c] - mean) - to[c] + divergence) * Real(1.0 / 9);
      v[c] = to[c] + 2 * change;
      to[c] += kRelaxation * change;
    }
  }

  void run(int iterations) {
    const int64_t wide = 5 * columns * int64_t(sizeof(Real));
    const int many = int(std::clamp<int64_t>(kCache / std::max<int64_t>(wide, 1), 1, iterations));
    for (int64_t r = 0; r < rows; ++r) start(r);
    for (int done = 0; done < iterations; done += many) {
      const int waves = std::min(many, iterations - done);
      for (int64_t front = 0; front < rows + waves - 1; ++front)
        for (int64_t wave = std::max<int64_t>(0, front - rows + 1); wave < std::min<int64_t>(waves, front + 1); ++wave)
          step(front - wave);
    }
    for (int64_t r = 0; r < rows; ++r) finish(r);
  }
};

template <typename Real>
int32_t smooth(const Real *image, Real *out, int64_t rows, int64_t columns, double mean, double weight,
               int32_t iterations) {
  try {
    Solver<Real>(image, out, rows, columns, Real(mean), Real(weight)).run(iterations);
    return 0;
  } catch (const std::bad_alloc &) {
    return 1;
  }
}

}  // namespace

extern "C" {

int32_t td_variation_float32(const float *image, float *out, int64_t rows, int64_t columns, double mean, double weight,
                             int32_t iterations) {
  return smooth(image, out, rows, columns, mean, weight, iterations);
}

int32_t td_variation_float64(const double *image, double *out, int64_t rows, int64_t columns, double mean,
                             double weight, int32_t iterations) {
  return smooth(image, out, rows, columns, mean, weight, iterations);
}
}
