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

#ifdef __AVX512F__
#include <immintrin.h>
#endif
#if defined(__AMX_BF16__) && defined(__AVX512BF16__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#define TD_AMX 1
#endif

namespace {

constexpr int kLanes = 16;
constexpr int kTaps = 6, kSegment = 8;  // Winograd F(4, 3): six products for four pixels

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

typedef float Vector __attribute__((vector_size(4 * kLanes)));
typedef int32_t Bits __attribute__((vector_size(4 * kLanes)));

inline Vector load(const float *from) { Vector v; std::memcpy(&v, from, sizeof(v)); return v; }
inline void store(float *to, Vector v) { std::memcpy(to, &v, sizeof(v)); }

#ifdef __AVX512F__
inline Vector least(Vector a, Vector b) { return (Vector)_mm512_min_ps((__m512)a, (__m512)b); }
inline Vector most(Vector a, Vector b) { return (Vector)_mm512_max_ps((__m512)a, (__m512)b); }
template <bool kRough>
inline Vector reciprocal(Vector x) {  // 14 bits, doubled by one step of Newton's method
  const Vector r = (Vector)_mm512_rcp14_ps((__m512)x);
  return kRough ? r : r * (2.0f - x * r);
}
#else
inline Vector least(Vector a, Vector b) { return a < b ? a : b; }
inline Vector most(Vector a, Vector b) { return a > b ? a : b; }
template <bool>
inline Vector reciprocal(Vector x) { return 1.0f / x; }
#endif

inline Vector clamp(Vector v, float low, float high) { return least(most(v, Vector{} + low), Vector{} + high); }

// tanh x = 1 - 2 / (1 + exp 2x); exp by splitting off the power of two and the first terms of the series.
// Rough: to 1e-4, a twentieth of what bfloat16 keeps of a number near 1.
template <bool kRough>
inline Vector tanh_of(Vector x) {
  const Vector t = clamp(x, -9.0f, 9.0f) * 2.885390081777927f;
  const Vector shifted = t + 12582912.0f, f = t - (shifted - 12582912.0f);
  Vector p = Vector{} + 9.618129107628477e-3f;
  if (!kRough) p = (f * 1.5403530393381608e-4f + 1.3333558146428443e-3f) * f + p;
  p = p * f + 5.550410866482158e-2f;
  p = p * f + 0.2402265069591007f;
  p = p * f + 0.6931471805599453f;
  p = p * f + 1.0f;
  const Vector power = (Vector)(((Bits)shifted + 127) << 23);
  return 1.0f - 2.0f * reciprocal<kRough>(1.0f + p * power);
}

// 16 filters of one pixel; z is the recurrent half of its gates, `gap` apart; nobody reads what idle lanes give
template <bool kRough>
inline Vector gate(const float *z, int64_t gap, const float *x, int filters, float *c) {
  const Vector i = clamp(load(z) + load(x), 0.0f, 1.0f);
  const Vector f = clamp(load(z + gap) + load(x + filters), 0.0f, 1.0f);
  const Vector g = tanh_of<kRough>(load(z + 2 * gap) + load(x + 2 * filters));
  const Vector o = clamp(load(z + 3 * gap) + load(x + 3 * filters), 0.0f, 1.0f);
  const Vector state = f * load(c) + i * g;
  store(c, state);
  return o * tanh_of<kRough>(state);
}

// float32: Winograd's F(4, 3) along x, plain along y

template <int kGroups, int kVectors>
void product(const float *a, int64_t group, int64_t row, int filters, const float *weights, float *z) {
  Vector sum[kGroups][kVectors] = {};
  for (int ky = 0; ky < 3; ++ky, a += row)
    for (int k = 0; k < filters; ++k, weights += kVectors * kLanes)
      for (int n = 0; n < kVectors; ++n) {
        const Vector w = load(weights + n * kLanes);
        for (int m = 0; m < kGroups; ++m) sum[m][n] += w * a[m * group + k];
      }
  std::memcpy(z, sum, sizeof(sum));
}

template <int kVectors>
void products(const float *a, int groups, int64_t row, int filters, const float *weights, float *z) {
  constexpr int kMost = kVectors > 3 ? 4 : 8;  // as many sums as there are registers
  const int64_t group = int64_t(kTaps) * filters, width = kVectors * kLanes;
  int m = 0;
  for (; m + kMost <= groups; m += kMost)
    product<kMost, kVectors>(a + m * group, group, row, filters, weights, z + m * width);
  for (; m + 2 <= groups; m += 2)
    product<2, kVectors>(a + m * group, group, row, filters, weights, z + m * width);
  if (m < groups) product<1, kVectors>(a + m * group, group, row, filters, weights, z + m * width);
}

// six values for the products of each four pixels, out of a row of h with a rim; up to 2 x 16 filters
void input_transform(const float *h, int filters, int groups, float *out) {
  const int lanes = lanes_of(filters);
  const float *end = out + int64_t(groups) * kTaps * filters;
  for (; out < end; h += 4 * filters, out += kTaps * filters) {
    Vector v[kTaps][2];
    for (int lane = 0, n = 0; lane < lanes; lane += kLanes, ++n) {
      const Vector a = load(h + lane), b = load(h + filters + lane), c = load(h + 2 * filters + lane),
                   d = load(h + 3 * filters + lane), e = load(h + 4 * filters + lane), f = load(h + 5 * filters + lane);
      v[0][n] = 4 * a - 5 * c + e;
      v[1][n] = (d + e) - 4 * (b + c);
      v[2][n] = 4 * (b - c) - (d - e);
      v[3][n] = 2 * (d - b) + (e - c);
      v[4][n] = 2 * (b - d) + (e - c);
      v[5][n] = 4 * b - 5 * d + f;
    }
    // whole vectors, each overwriting the idle lanes of the one before, but not what lies behind the row
    for (int tap = 0; tap < kTaps; ++tap)
      for (int lane = 0, n = 0; lane < lanes; lane += kLanes, ++n) {
        float *to = out + tap * filters + lane;
        std::memcpy(to, &v[tap][n], sizeof(float) * std::min<int64_t>(kLanes, end - to));
      }
  }
}

// in place: the six products of each of `size` values, `tap` apart, become those of four pixels
void output_transform(float *z, int64_t tap, int64_t size) {
#pragma GCC ivdep
  for (int64_t n = 0; n < size; ++n) {
    const float a = z[n], b = z[tap + n], c = z[2 * tap + n], d = z[3 * tap + n], e = z[4 * tap + n], f = z[5 * tap + n];
    const float p = b + c, m = b - c, q = d + e, r = d - e;
    z[n] = a + p + q;
    z[tap + n] = m + 2 * r;
    z[2 * tap + n] = p + 4 * q;
    z[3 * tap + n] = m + 8 * r + f;
  }
}

template <int kVectors>
struct FloatRow {
  static constexpr int kWidth = kVectors * kLanes, kTap = kSegment * kWidth;
  const Job &job;
  std::vector<float> sums, row;
  explicit FloatRow(const Job &job)
      : job(job), sums(kTaps * kTap + kLanes), row((4 * ((job.columns + 3) / 4) + 2) * job.filters + 2 * kLanes) {}

  void operator()(const Place &at) {
    const int filters = job.filters, lanes = lanes_of(filters), groups = (job.columns + 3) / 4;
    const int64_t pitch = int64_t(groups) * kTaps * filters;
    const float *before = static_cast<const float *>(job.before) + at.index * job.memory_stride + at.y * pitch;
    for (int first = 0; first < groups; first += kSegment) {
      const int count = std::min(kSegment, groups - first);
      for (int tap = 0; tap < kTaps; ++tap)
        products<kVectors>(before + (int64_t(first) * kTaps + tap) * filters, count, pitch, filters,
                           static_cast<const float *>(job.weights) + tap * 3 * filters * kWidth,
                           sums.data() + tap * kTap);
      output_transform(sums.data(), kTap, count * kWidth);
      const int last = std::min(4 * count, job.columns - 4 * first);
      for (int pixel = 0; pixel < last; ++pixel) {
        const int64_t x = 4 * first + pixel;
        const float *z = sums.data() + (pixel % 4) * kTap + (pixel / 4) * kWidth;
        for (int lane = 0; lane < filters; lane += kLanes)
          store(row.data() + (x + 1) * filters + lane,
                gate<false>(z + lane, filters, at.gates + x * 4 * filters + lane, filters, at.c + x * lanes + lane));
      }
    }
    std::fill(row.begin() + (job.columns + 1) * filters, row.end(), 0.0f);
    input_transform(row.data(), filters, groups,
                    static_cast<float *>(job.after) + at.index * job.memory_stride + (at.y + 1) * pitch);
    if (at.result) std::memcpy(at.result, row.data() + filters, sizeof(float) * job.columns * filters);
  }

  void finish() {}
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
template <typename Meanwhile>
inline void tile_products(const uint16_t *h, int64_t row, int lanes, int blocks, const uint16_t *weights, float *z,
                          Meanwhile &meanwhile) {
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
      meanwhile.some();
    }
  _tile_stored(0, z, 64);
  _tile_stored(1, z + 512, 64);
  _tile_stored(2, z + 256, 64);
  _tile_stored(3, z + 768, 64);
}

// the gates of 16 filters and up to 32 pixels, a few pixels at a time
struct Gates {
  int pixel = 0, last = 0, share = 0, filters = 0, lanes = 0;
  __mmask16 busy = 0;
  const float *z = nullptr, *gates = nullptr;
  float *c = nullptr, *result = nullptr;
  uint16_t *h = nullptr;

  void some() {
    for (const int until = std::min(last, pixel + share); pixel < until; ++pixel) {
      const int64_t at = pixel;
      const Vector v = gate<true>(z + at * kLanes, 512, gates + at * 4 * filters, filters, c + at * lanes);
      const __m256bh rounded = _mm512_maskz_cvtneps_pbh(busy, (__m512)v);
      std::memcpy(h + at * lanes, &rounded, sizeof(rounded));
      if (result) _mm512_mask_storeu_ps(result + at * filters, busy, (__m512)v);
    }
  }
};

// while the matrix unit multiplies for one block, the vector unit does the gates of the block before
struct TileRow {
  const Job &job;
  Tiles tiles;
  Gates gates;
  int turn = 0;
  alignas(64) float z[2][4 * 512];
  explicit TileRow(const Job &job) : job(job) {}

  void operator()(const Place &at) {
    const int filters = job.filters, lanes = lanes_of(filters), blocks = (3 * lanes + 31) / 32;
    const int64_t pitch = (job.columns + 2) * int64_t(lanes), base = at.index * job.memory_stride + at.y * pitch;
    const auto *before = static_cast<const uint16_t *>(job.before) + base;
    auto *after = static_cast<uint16_t *>(job.after) + base + pitch + lanes;
    for (int lane = 0; lane < filters; lane += kLanes)
      for (int64_t x = 0; x < job.columns; x += 32) {
        const int64_t step = 3 * blocks * int64_t(1024);
        const auto *weights = static_cast<const uint16_t *>(job.weights) + lane / kLanes * 2 * step;
        turn ^= 1;
        tile_products(before + x * lanes, pitch, lanes, blocks, weights, z[turn], gates);
        tile_products(before + x * lanes, pitch, lanes, blocks, weights + step, z[turn] + 1024, gates);
        finish();
        gates.pixel = 0;
        gates.last = std::min<int64_t>(32, job.columns - x);
        gates.share = (32 + 6 * blocks - 1) / (6 * blocks);
        gates.filters = filters;
        gates.lanes = lanes;
        gates.busy = filters - lane < kLanes ? (1u << (filters - lane)) - 1 : 0xffff;
        gates.z = z[turn];
        gates.gates = at.gates + x * 4 * filters + lane;
        gates.c = at.c + x * lanes + lane;
        gates.h = after + x * lanes + lane;
        gates.result = at.result ? at.result + x * filters + lane : nullptr;
      }
  }

  void finish() {
    gates.share = gates.last;
    gates.some();
  }
};

#endif

// bands of rows are shared out, each to the same thread in every step; within a band all states follow one another,
// so that `gates` stays in the cache
template <typename Row>
void run(const Job &job) {
  const int bands = (job.rows + job.band - 1) / job.band, units = bands * job.tiles;
  const int64_t pixels = int64_t(job.columns), lanes = lanes_of(job.filters);
#pragma omp parallel num_threads(job.threads)
  {
    Row row(job);
#pragma omp for schedule(static)
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
    row.finish();
  }
}

}  // namespace

extern "C" {

// 1 where this processor has vectors as wide as ours; with narrower ones PyTorch is faster
int32_t td_has_float32() {
#ifdef __AVX512F__
  return 1;
#else
  return 0;
#endif
}

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
