/* Sums rows of int8 weights, as a dense layer of spikes does: the least that any emulator has to do, and how fast that
   can go.

   For each step and each tile of 128 outputs the rows of the active inputs are widened and added in 16-bit registers,
   at most 255 rows before those are added to the 32-bit totals, so that nothing overflows: 255 * 128 < 2**15. */

#include <stdint.h>

#if defined(__AVX512BW__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#define TILE 128
#define MOST_ROWS 255

#if defined(__AVX512BW__)

const char *kernel_name(void) { return "AVX-512"; }

static void add_rows(const int8_t *weight, int64_t n_out, const int32_t *active, int64_t n, int32_t *total)
{
    __m512i sum[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
    for (int64_t k = 0; k < n; k++) {
        const int8_t *row = weight + active[k] * n_out;
        for (int i = 0; i < 4; i++) {
            __m256i bytes = _mm256_loadu_si256((const __m256i *)(row + 32 * i));
            sum[i] = _mm512_add_epi16(sum[i], _mm512_cvtepi8_epi16(bytes));
        }
    }
    for (int i = 0; i < 4; i++)
        for (int half = 0; half < 2; half++) {
            __m256i part = half ? _mm512_extracti64x4_epi64(sum[i], 1) : _mm512_castsi512_si256(sum[i]);
            int32_t *to = total + 32 * i + 16 * half;
            _mm512_storeu_si512(to, _mm512_add_epi32(_mm512_loadu_si512(to), _mm512_cvtepi16_epi32(part)));
        }
}

#elif defined(__AVX2__)

const char *kernel_name(void) { return "AVX2"; }

static void add_rows(const int8_t *weight, int64_t n_out, const int32_t *active, int64_t n, int32_t *total)
{
    __m256i sum[8];
    for (int i = 0; i < 8; i++)
        sum[i] = _mm256_setzero_si256();
    for (int64_t k = 0; k < n; k++) {
        const int8_t *row = weight + active[k] * n_out;
        for (int i = 0; i < 8; i++) {
            __m128i bytes = _mm_loadu_si128((const __m128i *)(row + 16 * i));
            sum[i] = _mm256_add_epi16(sum[i], _mm256_cvtepi8_epi16(bytes));
        }
    }
    for (int i = 0; i < 8; i++)
        for (int half = 0; half < 2; half++) {
            __m128i part = half ? _mm256_extracti128_si256(sum[i], 1) : _mm256_castsi256_si128(sum[i]);
            __m256i *to = (__m256i *)(total + 16 * i + 8 * half);
            _mm256_storeu_si256(to, _mm256_add_epi32(_mm256_loadu_si256(to), _mm256_cvtepi16_epi32(part)));
        }
}

#else

const char *kernel_name(void) { return "plain C"; }

static void add_rows(const int8_t *weight, int64_t n_out, const int32_t *active, int64_t n, int32_t *total)
{
    int16_t sum[TILE] = {0};
    for (int64_t k = 0; k < n; k++) {
        const int8_t *row = weight + active[k] * n_out;
        for (int i = 0; i < TILE; i++)
            sum[i] += row[i];
    }
    for (int i = 0; i < TILE; i++)
        total[i] += sum[i];
}

#endif

/* weight: (n_in, n_out), n_out a multiple of 128. active: those of step t are active[first[t]] to
   active[first[t + 1] - 1].
   total: (n_out,), made anew in each step; `stride` elements further on in the next step, 0 to use the same again. */
void accumulate(const int8_t *weight, int64_t n_out, const int32_t *active, const int64_t *first, int64_t n_steps,
                int32_t *total, int64_t stride)
{
    for (int64_t t = 0; t < n_steps; t++, total += stride) {
        for (int64_t j = 0; j < n_out; j++)
            total[j] = 0;
        for (int64_t tile = 0; tile < n_out; tile += TILE)
            for (int64_t k = first[t]; k < first[t + 1]; k += MOST_ROWS) {
                int64_t n = first[t + 1] - k;
                add_rows(weight + tile, n_out, active + k, n < MOST_ROWS ? n : MOST_ROWS, total + tile);
            }
    }
}

/* The same row by row: each row is widened and added to sums in memory, of 16 bits while they surely fit. */
static void add_row(const int8_t *row, int64_t n_out, int16_t *sum)
{
#if defined(__AVX512BW__)
    for (int64_t j = 0; j < n_out; j += 32) {
        __m512i wide = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(row + j)));
        _mm512_storeu_si512(sum + j, _mm512_add_epi16(_mm512_loadu_si512(sum + j), wide));
    }
#else
    for (int64_t j = 0; j < n_out; j++)
        sum[j] += row[j];
#endif
}

/* As accumulate; sum: (n_out,), scratch. */
void accumulate_rows(const int8_t *weight, int64_t n_out, const int32_t *active, const int64_t *first, int64_t n_steps,
                     int32_t *total, int64_t stride, int16_t *sum)
{
    for (int64_t t = 0; t < n_steps; t++, total += stride) {
        for (int64_t j = 0; j < n_out; j++)
            total[j] = 0;
        for (int64_t from = first[t]; from < first[t + 1]; from += MOST_ROWS) {
            int64_t to = from + MOST_ROWS < first[t + 1] ? from + MOST_ROWS : first[t + 1];
            for (int64_t j = 0; j < n_out; j++)
                sum[j] = 0;
            for (int64_t k = from; k < to; k++)
                add_row(weight + active[k] * n_out, n_out, sum);
            for (int64_t j = 0; j < n_out; j++)
                total[j] += sum[j];
        }
    }
}
