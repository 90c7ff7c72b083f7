// HBV-96 for Vulkan: a parameter set in each thread. The arithmetic is that of `kernel.cu`, line by line; what builds it puts
// BANDS, TAPS, SOFT, KEEP and LOG in front as constants.
//
// WGSL lets a compiler regroup sums, so nothing here adds a large number and takes it off again: integers are made by
// rounding, and powers of two from the bits of integers.

@group(0) @binding(0) var<storage, read> days: array<f64>;
@group(0) @binding(1) var<storage, read> shares: array<f64>;
@group(0) @binding(2) var<storage, read> rows: array<f64>;
@group(0) @binding(3) var<storage, read> weights: array<f64>;
@group(0) @binding(4) var<storage, read> wanted: array<f64>;
@group(0) @binding(5) var<storage, read_write> out: array<f64>;
@group(0) @binding(6) var<storage, read> counts: array<u32>;

const HALF_ROOT: i64 = 0x3fe6a09e667f3bcdli;
const LN2_HIGH: f64 = 6.931471803691238e-1lf;
const LN2_LOW: f64 = 1.9082149292705877e-10lf;
const LOG2_E: f64 = 1.4426950408889634lf;
const SMALLEST: f64 = 2.2250738585072014e-308lf;

const TT = 0; const CFMAX = 1; const SFCF = 2; const REFREEZE = 3; const CWH = 4; const PER_FC = 5; const LIMIT = 6;
const PER_LIMIT = 7; const BETA = 8; const K0 = 9; const K1 = 10; const K2 = 11; const UZL = 12; const PERC = 13;
const SHARP = 14; const PER_SHARP = 15;

fn least(a: f64, b: f64) -> f64 { return select(b, a, a < b); }
fn most(a: f64, b: f64) -> f64 { return select(b, a, a > b); }

// The nearest integer of x LOG2_E as if the product had not been rounded.
fn parts_of_ln2(x: f64) -> f64 {
    let k = round(x * LOG2_E);
    let off = fma(x, LOG2_E, -k);
    return select(select(k, k - 1.0lf, off < -0.5lf), k + 1.0lf, off > 0.5lf);
}

fn power_e(x: f64) -> f64 {
    let within = least(most(x, -708.0lf), 708.0lf);
    let k = parts_of_ln2(within);
    let r = fma(k, -LN2_LOW, fma(k, -LN2_HIGH, within));
    var p = 2.510038549551032e-8lf;
    p = fma(p, r, 2.7620088445409748e-7lf);
    p = fma(p, r, 2.7557268459997064e-6lf);
    p = fma(p, r, 2.4801521295954375e-5lf);
    p = fma(p, r, 1.9841269863053617e-4lf);
    p = fma(p, r, 1.3888888917213717e-3lf);
    p = fma(p, r, 8.333333333330062e-3lf);
    p = fma(p, r, 4.166666666662413e-2lf);
    p = fma(p, r, 1.6666666666666667e-1lf);
    p = fma(p, r, 5.000000000000001e-1lf);
    let scale = bitcast<f64>((i64(k) + 1023li) << 52u);
    return fma(p * r, r, r + 1.0lf) * scale;
}

fn logarithm(x: f64) -> f64 {
    let bits = bitcast<i64>(x);
    let exponent = (bits - HALF_ROOT) >> 52u;
    let k = f64(exponent);
    let m = bitcast<f64>(bits - (exponent << 52u));
    let f = m - 1.0lf;
    let s = f / (f + 2.0lf);
    let z = s * s;
    let w = z * z;
    var even = fma(w, 1.5313837699209373e-1lf, 2.2222198432149784e-1lf);
    even = w * fma(w, even, 3.999999999940942e-1lf);
    var odd = fma(w, 1.4798198605116586e-1lf, 1.818357216161805e-1lf);
    odd = fma(w, odd, 2.857142874366239e-1lf);
    odd = z * fma(w, odd, 6.666666666666735e-1lf);
    let half = 0.5lf * f * f;
    let low = fma(s, half + (odd + even), k * LN2_LOW);
    return fma(k, LN2_HIGH, f - (half - low));
}

fn power(x: f64, y: f64) -> f64 { return power_e(y * logarithm(most(x, SMALLEST))); }

fn ln_1p_exp(x: f64) -> f64 {
    let u = power_e(most(0.0lf - abs(x), -200.0lf));
    let sum = 1.0lf + u;
    let lost = u - (sum - 1.0lf);
    return most(x, 0.0lf) + (logarithm(sum) + lost / sum);
}

// A threshold without its corner, s sharp.
fn bent(v: f64, sharp: f64, per_sharp: f64) -> f64 { return ln_1p_exp(v * sharp) * per_sharp; }
fn bent_least(a: f64, b: f64, sharp: f64, per_sharp: f64) -> f64 { return a - bent(a - b, sharp, per_sharp); }

var<private> parameters: array<f64, 16>;
var<private> states: array<f64, 5 * BANDS>;

// One step of one band: runoff before routing.
fn soft_column(band: i32, t: f64, p: f64, pet: f64) -> f64 {
    let b = band * 5;
    let s = parameters[SHARP];
    let ps = parameters[PER_SHARP];
    var snow = states[b];
    var water = states[b + 1];
    var sm = states[b + 2];
    var suz = states[b + 3];
    var slz = states[b + 4];
    let warmth = t - parameters[TT];
    let rain_share = 1.0lf / (1.0lf + power_e(least(0.0lf - s * warmth, 200.0lf)));
    let rain = p * rain_share;
    snow = snow + p * parameters[SFCF] * (1.0lf - rain_share);
    let melt = bent_least(parameters[CFMAX] * bent(warmth, s, ps), snow, s, ps);
    snow = snow - melt;
    water = water + (melt + rain);
    let refrozen = bent_least(parameters[REFREEZE] * bent(0.0lf - warmth, s, ps), water, s, ps);
    snow = snow + refrozen;
    water = water - refrozen;
    let inflow = bent(water - parameters[CWH] * snow, s, ps);
    water = water - inflow;
    states[b] = most(snow, 0.0lf);
    states[b + 1] = most(water, 0.0lf);
    let recharge = inflow * power(bent_least(sm * parameters[PER_FC], 1.0lf, s, ps), parameters[BETA]);
    sm = sm + (inflow - recharge);
    let evaporation =
        bent_least(pet * (bent_least(sm, parameters[LIMIT], s, ps) * parameters[PER_LIMIT]), sm, s, ps);
    states[b + 2] = most(sm - evaporation, 0.0lf);
    suz = suz + recharge;
    let percolation = bent_least(parameters[PERC], suz, s, ps);
    suz = suz - percolation;
    slz = slz + percolation;
    return response(b, suz, slz, bent(suz - parameters[UZL], s, ps));
}

fn hard_column(band: i32, t: f64, p: f64, pet: f64) -> f64 {
    let b = band * 5;
    var snow = states[b];
    var water = states[b + 1];
    var suz = states[b + 3];
    var slz = states[b + 4];
    var inflow = 0.0lf;
    if (t <= parameters[TT]) {
        snow = fma(p, parameters[SFCF], snow);
        if (water > 0.0lf) {
            let refrozen = least(parameters[REFREEZE] * (parameters[TT] - t), water);
            snow = snow + refrozen;
            water = water - refrozen;
            inflow = most(water - parameters[CWH] * snow, 0.0lf);
            water = water - inflow;
        }
    } else {
        let melt = least(parameters[CFMAX] * (t - parameters[TT]), snow);
        snow = snow - melt;
        water = water + (melt + p);
        inflow = most(water - parameters[CWH] * snow, 0.0lf);
        water = water - inflow;
    }
    states[b] = snow;
    states[b + 1] = water;
    if (inflow > 0.0lf || pet > 0.0lf) {
        var sm = states[b + 2];
        if (inflow > 0.0lf) {
            let wet = least(sm * parameters[PER_FC], 1.0lf);
            let recharge = inflow * power(wet, parameters[BETA]);
            sm = sm + (inflow - recharge);
            suz = suz + recharge;
        }
        let evaporation = least(pet * (least(sm, parameters[LIMIT]) * parameters[PER_LIMIT]), sm);
        states[b + 2] = sm - evaporation;
    }
    let percolation = least(parameters[PERC], suz);
    suz = suz - percolation;
    slz = slz + percolation;
    return response(b, suz, slz, most(suz - parameters[UZL], 0.0lf));
}

fn response(b: i32, suz: f64, slz: f64, over: f64) -> f64 {
    let q0 = parameters[K0] * over;
    let q1 = parameters[K1] * suz;
    let q2 = parameters[K2] * slz;
    states[b + 3] = most(suz - (q0 + q1), 0.0lf);
    states[b + 4] = most(slz - q2, 0.0lf);
    return q0 + q1 + q2;
}

var<private> sums: array<f64, 6>;

// Σ (s − c), Σ (s − c)², Σ (o − c)(s − c)
fn add(first: i32, simulated: f64, observed: f64, about: f64) {
    let s = simulated - about;
    sums[first] = sums[first] + s;
    sums[first + 1] = fma(s, s, sums[first + 1]);
    sums[first + 2] = fma(s, observed - about, sums[first + 2]);
}

// No number: all bits of the exponent set, and some below.
fn missing(x: f64) -> bool { return (bitcast<i64>(x) & 0x7fffffffffffffffli) > 0x7ff0000000000000li; }

@compute @workgroup_size(64)
fn hbv(@builtin(global_invocation_id) thread: vec3<u32>) {
    let sets = i32(counts[0]);
    let steps = i32(counts[1]);
    let taps = i32(counts[2]);
    let own = i32(thread.x);
    if (own >= sets) {
        return;
    }
    for (var k = 0; k < 16; k++) {
        parameters[k] = rows[k * sets + own];
    }
    for (var b = 0; b < BANDS; b++) {
        states[b * 5] = 0.0lf;
        states[b * 5 + 1] = 0.0lf;
        states[b * 5 + 2] = 150.0lf;
        states[b * 5 + 3] = 10.0lf;
        states[b * 5 + 4] = 10.0lf;
    }
    var runoff: array<f64, TAPS>;
    for (var step = 0; step < steps; step++) {
        var q = 0.0lf;
        for (var b = 0; b < BANDS; b++) {
            let day = (step * BANDS + b) * 3;
            var part: f64;
            if (SOFT) {
                part = soft_column(b, days[day], days[day + 1], days[day + 2]);
            } else {
                part = hard_column(b, days[day], days[day + 1], days[day + 2]);
            }
            q = fma(part, shares[b], q);
        }
        runoff[step & (TAPS - 1)] = q;
        var looked = KEEP;
        if (!KEEP) {
            looked = !missing(wanted[3 + step]);
        }
        if (looked) {
            var flow = 0.0lf;
            for (var j = 0; j < taps; j++) {
                flow = fma(weights[j * sets + own], runoff[(step - j) & (TAPS - 1)], flow);
            }
            if (KEEP) {
                out[step * sets + own] = flow;
            } else {
                add(0, flow, wanted[3 + step], wanted[0]);
                if (LOG) {
                    add(3, logarithm(most(flow + wanted[1], SMALLEST)), wanted[3 + steps + step], wanted[2]);
                }
            }
        }
    }
    if (!KEEP) {
        for (var k = 0; k < select(3, 6, LOG); k++) {
            out[k * sets + own] = sums[k];
        }
    }
}
