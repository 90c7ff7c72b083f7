/* HBV-96 for devices: a parameter set in each thread. The arithmetic is that of `kernel.rs`, operation by operation, with
   a fused multiply-add where that has one and nowhere else, so every set has its bits.

   A subset of C that is C++, too: NVRTC compiles it for a card, and a test compiles it with the C compiler and holds it
   against the lanes. Who compiles it defines BANDS, TAPS (a power of two), SOFT, KEEP and LOG, and forbids contraction. */

#ifdef __CUDACC_RTC__
#define HERE static __device__ __forceinline__
#define ENTRY extern "C" __global__ void
#define THREAD ((long long)blockIdx.x * blockDim.x + threadIdx.x)
HERE long long bits_of(double x) { return __double_as_longlong(x); }
HERE double number_of(long long bits) { return __longlong_as_double(bits); }
#else
#include <math.h>
#include <string.h>
#define HERE static inline
#define ENTRY static void
static long long the_thread;
#define THREAD the_thread
HERE long long bits_of(double x) { long long bits; memcpy(&bits, &x, 8); return bits; }
HERE double number_of(long long bits) { double x; memcpy(&x, &bits, 8); return x; }
#endif

#define MAGIC 6755399441055744.0
#define HALF_ROOT 0x3fe6a09e667f3bcdLL
#define LN2_HIGH 6.931471803691238e-1
#define LN2_LOW 1.9082149292705877e-10
#define LOG2_E 1.4426950408889634
#define SMALLEST 2.2250738585072014e-308

HERE double least(double a, double b) { return a < b ? a : b; }
HERE double most(double a, double b) { return a > b ? a : b; }

/* power.rs: exp, ln, pow, ln_1p_exp */

HERE double power_e(double x) {
    const double within = least(most(x, -708.0), 708.0);
    const double shifted = fma(within, LOG2_E, MAGIC);
    const double k = shifted - MAGIC;
    const double r = fma(k, -LN2_LOW, fma(k, -LN2_HIGH, within));
    double p = 2.510038549551032e-8;
    p = fma(p, r, 2.7620088445409748e-7);
    p = fma(p, r, 2.7557268459997064e-6);
    p = fma(p, r, 2.4801521295954375e-5);
    p = fma(p, r, 1.9841269863053617e-4);
    p = fma(p, r, 1.3888888917213717e-3);
    p = fma(p, r, 8.333333333330062e-3);
    p = fma(p, r, 4.166666666662413e-2);
    p = fma(p, r, 1.6666666666666667e-1);
    p = fma(p, r, 5.000000000000001e-1);
    const double scale = number_of((long long)((unsigned long long)(bits_of(shifted) + 1023) << 52));
    return fma(p * r, r, r + 1.0) * scale;
}

HERE double logarithm(double x) {
    const long long bits = bits_of(x);
    const long long exponent = (bits - HALF_ROOT) >> 52;
    const double k = number_of(bits_of(MAGIC) + exponent) - MAGIC;
    const double m = number_of(bits - (long long)((unsigned long long)exponent << 52));
    const double f = m - 1.0;
    const double s = f / (f + 2.0);
    const double z = s * s;
    const double w = z * z;
    double even = fma(w, 1.5313837699209373e-1, 2.2222198432149784e-1);
    even = w * fma(w, even, 3.999999999940942e-1);
    double odd = fma(w, 1.4798198605116586e-1, 1.818357216161805e-1);
    odd = fma(w, odd, 2.857142874366239e-1);
    odd = z * fma(w, odd, 6.666666666666735e-1);
    const double half = 0.5 * f * f;
    const double low = fma(s, half + (odd + even), k * LN2_LOW);
    return fma(k, LN2_HIGH, f - (half - low));
}

HERE double power(double x, double y) { return power_e(y * logarithm(most(x, SMALLEST))); }

#if SOFT
HERE double ln_1p_exp(double x) {
    const double u = power_e(most(0.0 - fabs(x), -200.0));
    const double sum = 1.0 + u;
    const double lost = u - (sum - 1.0);
    return most(x, 0.0) + (logarithm(sum) + lost / sum);
}

/* A threshold without its corner, s sharp. */
HERE double bent(double v, double sharp, double per_sharp) { return ln_1p_exp(v * sharp) * per_sharp; }
HERE double bent_least(double a, double b, double sharp, double per_sharp) {
    return a - bent(a - b, sharp, per_sharp);
}
#endif

/* Rows of parameters, as in kernel.rs. */
enum { TT, CFMAX, SFCF, REFREEZE, CWH, PER_FC, LIMIT, PER_LIMIT, BETA, K0, K1, K2, UZL, PERC, SHARP, PER_SHARP, ROWS };

/* One step of one band: runoff before routing. */
HERE double column(const double *of, double *states, double t, double p, double pet) {
#if SOFT
    const double s = of[SHARP], ps = of[PER_SHARP];
    double snow = states[0], water = states[1], sm = states[2], suz = states[3], slz = states[4];
    const double warmth = t - of[TT];
    const double rain_share = 1.0 / (1.0 + power_e(least(0.0 - s * warmth, 200.0)));
    const double rain = p * rain_share;
    snow = snow + p * of[SFCF] * (1.0 - rain_share);
    const double melt = bent_least(of[CFMAX] * bent(warmth, s, ps), snow, s, ps);
    snow = snow - melt;
    water = water + (melt + rain);
    const double refrozen = bent_least(of[REFREEZE] * bent(0.0 - warmth, s, ps), water, s, ps);
    snow = snow + refrozen;
    water = water - refrozen;
    const double inflow = bent(water - of[CWH] * snow, s, ps);
    water = water - inflow;
    states[0] = most(snow, 0.0);
    states[1] = most(water, 0.0);
    const double recharge = inflow * power(bent_least(sm * of[PER_FC], 1.0, s, ps), of[BETA]);
    sm = sm + (inflow - recharge);
    const double evaporation =
        bent_least(pet * (bent_least(sm, of[LIMIT], s, ps) * of[PER_LIMIT]), sm, s, ps);
    states[2] = most(sm - evaporation, 0.0);
    suz = suz + recharge;
    const double percolation = bent_least(of[PERC], suz, s, ps);
    suz = suz - percolation;
    slz = slz + percolation;
    const double q0 = of[K0] * bent(suz - of[UZL], s, ps);
#else
    double snow = states[0], water = states[1], suz = states[3], slz = states[4];
    double inflow = 0.0;
    if (t <= of[TT]) {
        snow = fma(p, of[SFCF], snow);
        if (water > 0.0) {
            const double refrozen = least(of[REFREEZE] * (of[TT] - t), water);
            snow = snow + refrozen;
            water = water - refrozen;
            inflow = most(water - of[CWH] * snow, 0.0);
            water = water - inflow;
        }
    } else {
        const double melt = least(of[CFMAX] * (t - of[TT]), snow);
        snow = snow - melt;
        water = water + (melt + p);
        inflow = most(water - of[CWH] * snow, 0.0);
        water = water - inflow;
    }
    states[0] = snow;
    states[1] = water;
    if (inflow > 0.0 || pet > 0.0) {
        double sm = states[2];
        if (inflow > 0.0) {
            const double wet = least(sm * of[PER_FC], 1.0);
            const double recharge = inflow * power(wet, of[BETA]);
            sm = sm + (inflow - recharge);
            suz = suz + recharge;
        }
        const double evaporation = least(pet * (least(sm, of[LIMIT]) * of[PER_LIMIT]), sm);
        states[2] = sm - evaporation;
    }
    const double percolation = least(of[PERC], suz);
    suz = suz - percolation;
    slz = slz + percolation;
    const double q0 = of[K0] * most(suz - of[UZL], 0.0);
#endif
    const double q1 = of[K1] * suz, q2 = of[K2] * slz;
    states[3] = most(suz - (q0 + q1), 0.0);
    states[4] = most(slz - q2, 0.0);
    return q0 + q1 + q2;
}

/* Σ (s − c), Σ (s − c)², Σ (o − c)(s − c) */
HERE void add(double *sums, double simulated, double observed, double about) {
    const double s = simulated - about;
    sums[0] = sums[0] + s;
    sums[1] = fma(s, s, sums[1]);
    sums[2] = fma(s, observed - about, sums[2]);
}

/* sets   how many; what belongs to a set lies at its number in rows of so many
   taps   weights above 0 in some set
   days   t, p, pet of each band, step by step
   shares of the bands
   rows   parameters
   target c, ε and c of logarithms; observed flow step by step (NaN: not looked at), and its logarithms
   out    KEEP: flow step by step; else the sums, and those of logarithms */
ENTRY hbv(int sets, int steps, int taps, const double *days, const double *shares, const double *rows,
          const double *weights, const double *target, double *out) {
    const long long set = THREAD;
    if (set >= sets) return;
    double of[ROWS], states[BANDS * 5], runoff[TAPS], sums[6] = {0.0, 0.0, 0.0, 0.0, 0.0, 0.0};
    for (int k = 0; k < ROWS; k++) of[k] = rows[k * (long long)sets + set];
    for (int b = 0; b < BANDS; b++) {
        states[b * 5] = 0.0;
        states[b * 5 + 1] = 0.0;
        states[b * 5 + 2] = 150.0;
        states[b * 5 + 3] = 10.0;
        states[b * 5 + 4] = 10.0;
    }
    for (int j = 0; j < TAPS; j++) runoff[j] = 0.0;
    for (int step = 0; step < steps; step++) {
        double q = 0.0;
        for (int b = 0; b < BANDS; b++) {
            const double *day = days + ((long long)step * BANDS + b) * 3;
            q = fma(column(of, states + b * 5, day[0], day[1], day[2]), shares[b], q);
        }
        runoff[step & (TAPS - 1)] = q;
        const double observed = KEEP ? 0.0 : target[3 + step];
        if (observed == observed) {
            double flow = 0.0;
            for (int j = 0; j < taps; j++)
                flow = fma(weights[j * (long long)sets + set], runoff[(step - j) & (TAPS - 1)], flow);
            if (KEEP) {
                out[step * (long long)sets + set] = flow;
            } else {
                add(sums, flow, observed, target[0]);
                if (LOG)
                    add(sums + 3, logarithm(most(flow + target[1], SMALLEST)), target[3 + steps + step], target[2]);
            }
        }
    }
    if (!KEEP)
        for (int k = 0; k < (LOG ? 6 : 3); k++) out[k * (long long)sets + set] = sums[k];
}
