// What ConditionedUNet makes of the previous images, row by row: looks, weights, weighted moments. See summary.py.
//
// Of each image three rows stay at hand, as five planes for two bands: departure from the plain mean per band, value
// per band, validity; zero where there is no data and beyond the rim. Sizes in elements.
//   images   [time][band][row][column], whatever where not valid
//   valid    [time][row][column], 0 or 1
//   weights  [time][group][plane][3][3][kGroup]: the convolution, the conditions worked in
//   bias     [time][group][kGroup];  weigh [group][kGroup];  logit [time]
//   results  [plane][row][column]: mean per band, variance per band, seen, plain mean per band, plain variance per
//            band, then the looks, `width` of them
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <new>
#include <vector>

namespace {

#ifdef __AVX512F__
constexpr int kLanes = 16;
#else
constexpr int kLanes = 8;
#endif
constexpr int kGroup = 8;
constexpr float kLeastVariance = 1e-6f, kSteepest = 3.0f;

struct Job {
  int32_t time, bands, width, rows, columns, first, last, reserved;  // rows first to last of the results
  float unit;
  const float *images;
  const uint8_t *valid;
  const float *weights, *bias, *weigh, *logit;
  float *results;
};

typedef float Vector __attribute__((vector_size(4 * kLanes)));
typedef int32_t Bits __attribute__((vector_size(4 * kLanes)));

inline Vector load(const float *from) {
  Vector value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

inline Vector least(Vector value, float limit) { return value < limit ? value - value + limit : value; }
inline Vector most(Vector value, float limit) { return value > limit ? value - value + limit : value; }

inline Vector exponential(Vector x) {  // relative error 1e-7
  x = most(least(x, -87.0f), 87.0f);
  const Bits power = __builtin_convertvector(x * 1.44269504f + (x < 0.0f ? x - x - 0.5f : x - x + 0.5f), Bits);
  const Vector whole = __builtin_convertvector(power, Vector);
  const Vector r = (x - whole * 0.693359375f) + whole * 2.12194440e-4f;
  Vector sum = r * (1.0f / 5040) + 1.0f / 720;
  sum = sum * r + 1.0f / 120;
  sum = sum * r + 1.0f / 24;
  sum = sum * r + 1.0f / 6;
  sum = sum * r + 0.5f;
  sum = sum * r + 1.0f;
  sum = sum * r + 1.0f;
  return sum * Vector((power + 127) << 23);
}

inline Vector gelu(Vector x) {  // error function by 7.1.26 of Abramowitz and Stegun, to 1.5e-7
  const Vector length = x < 0.0f ? -x : x;
  const Vector t = 1.0f / (1.0f + 0.3275911f * 0.70710678f * length);
  Vector tail = t * 1.061405429f - 1.453152027f;
  tail = tail * t + 1.421413741f;
  tail = tail * t - 0.284496736f;
  tail = tail * t + 0.254829592f;
  tail = tail * t * exponential(-0.5f * x * x);
  return 0.5f * x * (x < 0.0f ? tail : 2.0f - tail);
}

// n / (n - 1) for n equal weights
inline Vector freedom(Vector total, Vector squares) {
  const Vector effective = total * total / least(squares, 1e-12f);
  return most(effective / least(effective - 1.0f, 0.1f), 2.0f);
}

struct Summary {
  const Job &job;
  const int planes, groups;
  const int64_t pitch, area;
  std::vector<float> ring, looks, pooled, shares;

  explicit Summary(const Job &job)
      : job(job), planes(2 * job.bands + 1), groups((job.width + kGroup - 1) / kGroup),
        pitch((job.columns + kLanes - 1) / kLanes * kLanes + 2 * kLanes), area(int64_t(job.rows) * job.columns),
        ring(3 * job.time * planes * pitch), looks(groups * kGroup * kLanes), pooled(looks.size()),
        shares(job.time * kLanes) {}

  float *plane(int row, int image, int k) {  // row -1 lies where row 2 will
    return ring.data() + (((row + 3) % 3 * job.time + image) * planes + k) * pitch + kLanes;
  }
  float *result(int k, int row) { return job.results + k * area + int64_t(row) * job.columns; }
  int many(int column) const { return std::min(kLanes, job.columns - column); }
  void put(float *to, Vector value, int column) const { std::memcpy(to + column, &value, sizeof(float) * many(column)); }

  void read(int row) {
    if (row < 0 || row >= job.rows) {
      for (int image = 0; image < job.time; ++image)
        std::fill_n(plane(row, image, 0) - kLanes, planes * pitch, 0.0f);
      return;
    }
    for (int image = 0; image < job.time; ++image) {
      const uint8_t *valid = job.valid + image * area + int64_t(row) * job.columns;
      float *seen = plane(row, image, planes - 1);
      for (int c = 0; c < job.columns; ++c) seen[c] = valid[c];
      for (int band = 0; band < job.bands; ++band) {
        const float *from = job.images + (image * job.bands + band) * area + int64_t(row) * job.columns;
        float *to = plane(row, image, job.bands + band);
        for (int c = 0; c < job.columns; ++c) to[c] = valid[c] ? from[c] : 0.0f;
      }
    }
    for (int band = 0; band < job.bands; ++band)
      for (int c = 0; c < job.columns; c += kLanes) depart(row, band, c);
  }

  void depart(int row, int band, int c) {
    Vector total = {}, sum = {}, squares = {};
    for (int image = 0; image < job.time; ++image) {
      total += load(plane(row, image, planes - 1) + c);
      sum += load(plane(row, image, job.bands + band) + c);
    }
    const Vector safe = least(total, 1e-6f), mean = sum / safe;
    for (int image = 0; image < job.time; ++image) {
      const Vector away = (load(plane(row, image, job.bands + band) + c) - mean) * load(plane(row, image, planes - 1) + c);
      squares += away * away;
      put(plane(row, image, band), away / job.unit, c);
    }
    if (row < job.first || row >= job.last) return;
    put(result(2 * job.bands + 1 + band, row), mean, c);
    put(result(3 * job.bands + 1 + band, row), squares / safe * freedom(total, total) + kLeastVariance, c);
  }

  // convolution, gelu and the product with `weigh` of eight channels of one image
  Vector look(int row, int image, int group, int c) {
    const float *weight = job.weights + (image * groups + group) * planes * 9 * kGroup;
    const float *bias = job.bias + (image * groups + group) * kGroup, *weigh = job.weigh + group * kGroup;
    Vector sum[kGroup];
    for (int o = 0; o < kGroup; ++o) sum[o] = Vector{} + bias[o];
    for (int k = 0; k < planes; ++k)
      for (int y = -1; y <= 1; ++y)
        for (int x = -1; x <= 1; ++x, weight += kGroup) {
          const Vector value = load(plane(row + y, image, k) + c + x);
#pragma GCC unroll 8
          for (int o = 0; o < kGroup; ++o) sum[o] += value * weight[o];
        }
    Vector logit = {};
    for (int o = 0; o < kGroup; ++o) {
      const Vector value = gelu(sum[o]);
      logit += value * weigh[o];
      std::memcpy(looks.data() + (group * kGroup + o) * kLanes, &value, sizeof value);
    }
    return logit;
  }

  void pool(int row, int c) {
    Vector total = {}, squares = {};
    std::fill(pooled.begin(), pooled.end(), 0.0f);
    for (int image = 0; image < job.time; ++image) {
      Vector logit = Vector{} + job.logit[image];
      for (int group = 0; group < groups; ++group) logit += look(row, image, group, c);
      const Vector share =
          exponential(most(least(logit, -kSteepest), kSteepest)) * load(plane(row, image, planes - 1) + c);
      total += share;
      squares += share * share;
      std::memcpy(shares.data() + image * kLanes, &share, sizeof share);
      for (size_t at = 0; at < pooled.size(); at += kLanes) {
        const Vector value = load(pooled.data() + at) + share * load(looks.data() + at);
        std::memcpy(pooled.data() + at, &value, sizeof value);
      }
    }
    const Vector safe = least(total, 1e-6f), wider = freedom(total, squares);
    for (int band = 0; band < job.bands; ++band) moments(row, band, c, safe, wider);
    put(result(2 * job.bands, row), total > 0.0f ? total - total + 1.0f : total - total, c);
    for (int o = 0; o < job.width; ++o)
      put(result(4 * job.bands + 1 + o, row), load(pooled.data() + o * kLanes) / safe, c);
  }

  void moments(int row, int band, int c, Vector safe, Vector wider) {
    Vector sum = {}, squares = {};
    for (int image = 0; image < job.time; ++image)
      sum += load(shares.data() + image * kLanes) * load(plane(row, image, job.bands + band) + c);
    const Vector mean = sum / safe;
    for (int image = 0; image < job.time; ++image) {
      const Vector away = load(plane(row, image, job.bands + band) + c) - mean;
      squares += load(shares.data() + image * kLanes) * away * away;
    }
    put(result(band, row), mean, c);
    put(result(job.bands + band, row), squares / safe * wider + kLeastVariance, c);
  }

  void run() {
    read(job.first - 1);
    read(job.first);
    for (int row = job.first; row < job.last; ++row) {
      read(row + 1);
      for (int c = 0; c < job.columns; c += kLanes) pool(row, c);
    }
  }
};

}  // namespace

extern "C" int32_t td_summary(const Job *job) {
  try {
    Summary(*job).run();
    return 0;
  } catch (const std::bad_alloc &) {
    return 1;
  }
}
