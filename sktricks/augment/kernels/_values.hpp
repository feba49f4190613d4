// Clip, round, scale and sum pixel values.

namespace {

struct Range {
    float low, high;
};

const Range UNLIMITED = {-FLT_MAX, FLT_MAX};

template <class Number>
inline Number hold(Number value, Number low, Number high) {
    return value < low ? low : (value > high ? high : value);
}

template <class Out>
inline Range within_type(Range range) {
    if (!std::is_same<Out, uint8_t>::value) return range;
    return {hold(range.low, 0.0f, 255.0f), hold(range.high, 0.0f, 255.0f)};
}

inline float rounded(float value, float) { return value; }

// Round half to even, as numpy does: at this magnitude the last bit of a float has the value 1.
inline uint8_t rounded(float value, uint8_t) {
    const float big = value + 8388608.0f;
    int32_t bits;
    std::memcpy(&bits, &big, sizeof bits);
    return uint8_t(bits);
}

template <class Out>
inline Out clipped(float value, Range range) {
    return rounded(hold(value, range.low, range.high), Out());
}

// gain * value + shift, clipped and rounded.
template <class In, class Out>
void scale(const In *from, Py_ssize_t n, float gain, float shift, Range range, Out *to) {
    range = within_type<Out>(range);
    for (Py_ssize_t i = 0; i < n; ++i) to[i] = clipped<Out>(gain * float(from[i]) + shift, range);
}

template <class In, class Out>
void store(const In *from, Py_ssize_t n, Out *to) {
    scale(from, n, 1.0f, 0.0f, UNLIMITED, to);
}

// Sum in an order that does not depend on the width of registers. Few enough bytes are summed at a time for 16 bits.
template <class In>
double sum(const In *values, Py_ssize_t n) {
    using Number = typename std::conditional<std::is_same<In, float>::value, float, uint16_t>::type;
    const int lanes = 32;
    double total = 0;
    for (Py_ssize_t start = 0; start < n; start += 64 * lanes) {
        Number sums[lanes] = {};
        const Py_ssize_t end = std::min<Py_ssize_t>(start + 64 * lanes, n), whole = end - (end - start) % lanes;
        for (Py_ssize_t i = start; i < whole; i += lanes)
            for (int k = 0; k < lanes; ++k) sums[k] = Number(sums[k] + values[i + k]);
        for (Py_ssize_t i = whole; i < end; ++i) total += double(values[i]);
        for (const Number lane : sums) total += double(lane);
    }
    return total;
}

}  // namespace
