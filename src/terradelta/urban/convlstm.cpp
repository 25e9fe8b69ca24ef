// One step of many ConvLSTM states at once: recurrent convolution and gates without a pass over memory between them.
//
// F filters, X x Y pixels; sizes in elements. `lanes` is F rounded up to 16.
//   gates   [tile][Y][X][4][F], 16 more at the end: the input half, bias included; order i, f, c, o. The recurrent
//           weights and these come scaled so that the hard sigmoid is a clamp to 0..1.
//   c       [state][tile][Y][X][lanes]
//   memory  the hidden state, with a rim of zeros, in the form that the next step reads:
//           float32   [state][tile][Y + 2][ceil(X / 4)][6][F]   transformed along x for F(4, 3) of Winograd
//           bfloat16  [state][tile][Y + 2][X + 2][lanes]        and room for a whole block at the end
//   result  [result][tile][Y][X][F]: hidden states that were asked for, plain
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#if defined(__AMX_BF16__) && defined(__linux__)
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#define TD_AMX 1
#endif

namespace {

constexpr int kLanes = 16;
constexpr int kTaps = 6, kOutputs = 4, kSegment = 12;  // Winograd F(4, 3): six products for four pixels

struct Job {
  int32_t filters, rows, columns, tiles, states, band, threads, reserved;
  int64_t memory_stride;
  const int32_t *state, *result;  // per state of this step: where it lies, and where its result goes or -1
  const float *gates;
  const void *weights, *before;
  void *after;
  float *c, *results;
};

struct Place {  // one row of one state of one tile
  int64_t index;
  int y;
  const float *gates;
  float *c, *result;
};

int lanes_of(int filters) { return (filters + kLanes - 1) / kLanes * kLanes; }

inline float as_float(uint32_t bits) { float value; std::memcpy(&value, &bits, 4); return value; }
inline uint32_t as_bits(float value) { uint32_t bits; std::memcpy(&bits, &value, 4); return bits; }

// tanh x = 1 - 2 / (1 + exp 2x); exp by splitting off the power of two and seven terms of the series
inline float tanh_of(float x) {
  const float t = std::min(std::max(x, -9.0f), 9.0f) * 2.885390081777927f;
  const float whole = t + 12582912.0f;
  const float f = t - (whole - 12582912.0f);
  float p = 1.5252733804059841e-5f;
  p = p * f + 1.5403530393381608e-4f;
  p = p * f + 1.3333558146428443e-3f;
  p = p * f + 9.618129107628477e-3f;
  p = p * f + 5.550410866482158e-2f;
  p = p * f + 0.2402265069591007f;
  p = p * f + 0.6931471805599453f;
  p = p * f + 1.0f;
  const float power = as_float((as_bits(whole) + 127u) << 23);
  return 1.0f - 2.0f / (1.0f + p * power);
}

inline float clamp01(float x) { return std::min(std::max(x, 0.0f), 1.0f); }

// 16 filters of one pixel; z is the recurrent half of its gates, `gap` apart; idle lanes give numbers that nobody reads
inline void gate(const float *z, int gap, const float *x, int filters, float *c, float *h) {
#pragma GCC ivdep
  for (int n = 0; n < kLanes; ++n) {
    const float i = clamp01(z[n] + x[n]);
    const float f = clamp01(z[gap + n] + x[filters + n]);
    const float g = tanh_of(z[2 * gap + n] + x[2 * filters + n]);
    const float o = clamp01(z[3 * gap + n] + x[3 * filters + n]);
    const float state = f * c[n] + i * g;
    c[n] = state;
    h[n] = o * tanh_of(state);
  }
}

// float32: Winograd's F(4, 3) along x, plain along y

typedef float Vector __attribute__((vector_size(64)));

template <int kGroups, int kVectors>
void product(const float *a, int64_t group, int64_t row, int filters, const float *weights, float *z) {
  Vector sum[kGroups][kVectors] = {};
  for (int ky = 0; ky < 3; ++ky, a += row)
    for (int k = 0; k < filters; ++k, weights += kVectors * kLanes)
      for (int n = 0; n < kVectors; ++n) {
        Vector w;
        std::memcpy(&w, weights + n * kLanes, sizeof(w));
        for (int m = 0; m < kGroups; ++m) sum[m][n] += w * a[m * group + k];
      }
  std::memcpy(z, sum, sizeof(sum));
}

template <int kVectors>
void products(const float *a, int groups, int64_t row, int filters, const float *weights, float *z) {
  constexpr int kGroups = kVectors > 5 ? 4 : kVectors > 3 ? 4 : 6;
  const int64_t group = int64_t(kTaps) * filters;
  int m = 0;
  for (; m + kGroups <= groups; m += kGroups)
    product<kGroups, kVectors>(a + m * group, group, row, filters, weights, z + m * kVectors * kLanes);
  for (; m < groups; ++m)
    product<1, kVectors>(a + m * group, group, row, filters, weights, z + m * kVectors * kLanes);
}

void input_transform(const float *h, int filters, int groups, float *out) {
  for (int g = 0; g < groups; ++g, h += 4 * filters, out += kTaps * filters) {
#pragma GCC ivdep
    for (int k = 0; k < filters; ++k) {
      const float a = h[k], b = h[filters + k], c = h[2 * filters + k], d = h[3 * filters + k], e = h[4 * filters + k],
                  f = h[5 * filters + k];
      out[k] = 4 * a - 5 * c + e;
      out[filters + k] = (d + e) - 4 * (b + c);
      out[2 * filters + k] = 4 * (b - c) - (d - e);
      out[3 * filters + k] = 2 * (d - b) + (e - c);
      out[4 * filters + k] = 2 * (b - d) + (e - c);
      out[5 * filters + k] = 4 * b - 5 * d + f;
    }
  }
}

inline void output_transform(const float *z, int64_t tap, int size, float *out) {
#pragma GCC ivdep
  for (int n = 0; n < size; ++n) {
    const float a = z[n], b = z[tap + n], c = z[2 * tap + n], d = z[3 * tap + n], e = z[4 * tap + n], f = z[5 * tap + n];
    const float p = b + c, m = b - c, q = d + e, r = d - e;
    out[n] = a + p + q;
    out[size + n] = m + 2 * r;
    out[2 * size + n] = p + 4 * q;
    out[3 * size + n] = m + 8 * r + f;
  }
}

template <int kVectors>
struct FloatRow {
  static constexpr int kWidth = kVectors * kLanes;
  const Job &job;
  std::vector<float> sums, row;
  explicit FloatRow(const Job &job)
      : job(job), sums(kTaps * kSegment * kWidth), row((4 * ((job.columns + 3) / 4) + 2) * job.filters + kLanes) {}

  void operator()(const Place &at) {
    const int filters = job.filters, lanes = lanes_of(filters), groups = (job.columns + 3) / 4;
    const int64_t pitch = int64_t(groups) * kTaps * filters;
    const float *before = static_cast<const float *>(job.before) + at.index * job.memory_stride + at.y * pitch;
    alignas(64) float z[kOutputs * kWidth + kLanes * 2], h[kLanes];
    for (int first = 0; first < groups; first += kSegment) {
      const int count = std::min(kSegment, groups - first);
      for (int tap = 0; tap < kTaps; ++tap)
        products<kVectors>(before + (int64_t(first) * kTaps + tap) * filters, count, pitch, filters,
                           static_cast<const float *>(job.weights) + tap * 3 * filters * kWidth,
                           sums.data() + tap * kSegment * kWidth);
      for (int group = 0; group < count; ++group) {
        output_transform(sums.data() + group * kWidth, kSegment * kWidth, kWidth, z);
        const int x0 = 4 * (first + group), last = std::min(4, job.columns - x0);
        for (int pixel = 0; pixel < last; ++pixel)
          for (int lane = 0; lane < filters; lane += kLanes) {
            gate(z + pixel * kWidth + lane, filters, at.gates + int64_t(x0 + pixel) * 4 * filters + lane, filters,
                 at.c + int64_t(x0 + pixel) * lanes + lane, h);
            std::memcpy(row.data() + (x0 + pixel + 1) * filters + lane, h, sizeof(h));
          }
      }
    }
    std::fill(row.begin() + (job.columns + 1) * filters, row.end(), 0.0f);
    input_transform(row.data(), filters, groups,
                    static_cast<float *>(job.after) + at.index * job.memory_stride + (at.y + 1) * pitch);
    if (at.result) std::memcpy(at.result, row.data() + filters, sizeof(float) * job.columns * filters);
  }
};

#ifdef TD_AMX

// bfloat16 products, float32 sums, 32 pixels at a time

struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t bytes[16] = {};
  uint8_t rows[16] = {};
};

struct Tiles {
  Tiles() {
    TileConfig config;
    for (int tile = 0; tile < 8; ++tile) { config.bytes[tile] = 64; config.rows[tile] = 16; }
    _tile_loadconfig(&config);
  }
  ~Tiles() { _tile_release(); }
};

// two gates of 16 filters for 32 pixels: tiles 0-3 add up, 4 and 5 hold pixels, 6 and 7 weights
inline void tile_products(const uint16_t *h, int64_t row, int lanes, int blocks, const uint16_t *weights, float *z) {
  const int64_t stride = lanes * 2;
  _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3);
  for (int ky = 0; ky < 3; ++ky, h += row)
    for (int block = 0; block < blocks; ++block, weights += 1024) {
      _tile_loadd(4, h + block * 32, stride);
      _tile_loadd(5, h + block * 32 + 16 * lanes, stride);
      _tile_loadd(6, weights, 64);
      _tile_loadd(7, weights + 512, 64);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  _tile_stored(0, z, 64);
  _tile_stored(1, z + 512, 64);
  _tile_stored(2, z + 256, 64);
  _tile_stored(3, z + 768, 64);
}

struct TileRow {
  const Job &job;
  Tiles tiles;
  explicit TileRow(const Job &job) : job(job) {}

  void operator()(const Place &at) {
    const int filters = job.filters, lanes = lanes_of(filters), groups = lanes / kLanes, blocks = (3 * lanes + 31) / 32;
    const int64_t pitch = (job.columns + 2) * int64_t(lanes), base = at.index * job.memory_stride + at.y * pitch;
    const auto *before = static_cast<const uint16_t *>(job.before) + base;
    auto *after = static_cast<uint16_t *>(job.after) + base + pitch + lanes;
    alignas(64) float z[4 * 512], h[kLanes];
    for (int x0 = 0; x0 < job.columns; x0 += 32)
      for (int group = 0; group < groups; ++group) {
        const auto *weights = static_cast<const uint16_t *>(job.weights) + group * 2 * 3 * blocks * int64_t(1024);
        tile_products(before + x0 * lanes, pitch, lanes, blocks, weights, z);
        tile_products(before + x0 * lanes, pitch, lanes, blocks, weights + 3 * blocks * 1024, z + 1024);
        const int last = std::min(32, job.columns - x0), lane = group * kLanes, busy = std::min(kLanes, filters - lane);
        for (int pixel = 0; pixel < last; ++pixel) {
          const int64_t x = x0 + pixel;
          gate(z + pixel * kLanes, 512, at.gates + x * 4 * filters + lane, filters, at.c + x * lanes + lane, h);
          uint16_t rounded[kLanes];
#pragma GCC ivdep
          for (int n = 0; n < kLanes; ++n) {
            const uint32_t bits = as_bits(h[n]);
            rounded[n] = n < busy ? (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16 : 0;
          }
          std::memcpy(after + x * lanes + lane, rounded, sizeof(rounded));
          if (at.result) std::memcpy(at.result + x * filters + lane, h, sizeof(float) * busy);
        }
      }
  }
};

#endif

// bands of rows are shared out; within a band all states follow one another, so that `gates` stays in the cache
template <typename Row>
void run(const Job &job) {
  const int bands = (job.rows + job.band - 1) / job.band, units = bands * job.tiles;
  const int64_t pixels = int64_t(job.columns), lanes = lanes_of(job.filters);
#pragma omp parallel num_threads(job.threads)
  {
    Row row(job);
#pragma omp for schedule(dynamic)
    for (int unit = 0; unit < units; ++unit) {
      const int tile = unit / bands, first = unit % bands * job.band, last = std::min(job.rows, first + job.band);
      for (int which = 0; which < job.states; ++which)
        for (int y = first; y < last; ++y) {
          const int64_t index = int64_t(job.state[which]) * job.tiles + tile, line = index * job.rows + y;
          const int64_t result = int64_t(job.result[which]) * job.tiles + tile;
          row(Place{index, y, job.gates + (int64_t(tile) * job.rows + y) * pixels * 4 * job.filters,
                    job.c + line * pixels * lanes,
                    job.result[which] < 0 ? nullptr : job.results + (result * job.rows + y) * pixels * job.filters});
        }
    }
  }
}

}  // namespace

extern "C" {

// 1 where this processor multiplies matrices of bfloat16 and the system lets us
int32_t td_has_bfloat16() {
#ifdef TD_AMX
  return syscall(SYS_arch_prctl, 0x1023, 18) == 0;
#else
  return 0;
#endif
}

void td_step_float32(const Job *job) {
  switch ((4 * job->filters + kLanes - 1) / kLanes) {
    case 1: return run<FloatRow<1>>(*job);
    case 2: return run<FloatRow<2>>(*job);
    case 3: return run<FloatRow<3>>(*job);
    case 4: return run<FloatRow<4>>(*job);
    case 5: return run<FloatRow<5>>(*job);
    case 6: return run<FloatRow<6>>(*job);
    case 7: return run<FloatRow<7>>(*job);
    case 8: return run<FloatRow<8>>(*job);
  }
}

void td_step_bfloat16(const Job *job) {
#ifdef TD_AMX
  run<TileRow>(*job);
#endif
}
}
