// Normal noise from a key and a counter: expand_normal() in _counter.py, for uint8 and float32.

namespace {

// 64 random bits from a state: SplitMix64, see _counter.py.
inline uint64_t mix_bits(uint64_t bits) {
    bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9u;
    bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EBu;
    return bits ^ (bits >> 31);
}

// The natural logarithm of a positive number: the exponent times log(2), plus a series in (m - 1) / (m + 1).
inline float log_of(float value) {
    int32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    const int32_t exponent = (bits - 0x3F3504F3) >> 23;  // so that m is between sqrt(1/2) and sqrt(2)
    bits = int32_t(uint32_t(bits) - (uint32_t(exponent) << 23));
    float m;
    std::memcpy(&m, &bits, sizeof m);
    const float s = (m - 1) / (m + 1), t = s * s;
    const float series = 2 + t * (2.0f / 3 + t * (2.0f / 5 + t * (2.0f / 7 + t * (2.0f / 9))));
    return float(exponent) * 0.69314718f + s * series;
}

// The sine of an angle between -1/4 and 1/4 of a full turn.
inline float sine_of(float turn) {
    const float t = turn * turn;
    const float series = 81.60525f + t * (-76.70586f + t * (42.05869f + t * -15.09464f));
    return turn * (6.2831853f + t * (-41.341702f + t * series));
}

// Standard normal numbers in pairs (Box & Muller 1958), from the counters after ``first``.
struct Normals {
    enum { PAIRS = 64 };
    int32_t radii[PAIRS], angles[PAIRS];
    float values[2 * PAIRS];

    void draw(uint64_t key, uint64_t first) {
        for (int i = 0; i < PAIRS; ++i) {
            const uint64_t bits = mix_bits(key + (first + uint64_t(i) + 1) * 0x9E3779B97F4A7C15u);
            radii[i] = int32_t(bits >> 40), angles[i] = int32_t(bits >> 8 & 0xFFFFFF);
        }
        const float unit = 1.0f / 16777216;
        for (int i = 0; i < PAIRS; ++i) {
            const float radius = std::sqrt(-2 * log_of((float(radii[i]) + 0.5f) * unit));
            const float turn = (float(angles[i]) + 0.5f) * unit - 0.5f, rest = 0.25f - std::fabs(turn);
            const float across = sine_of(0.25f - std::fabs(rest));
            values[2 * i] = -radius * sine_of(rest);
            values[2 * i + 1] = radius * (turn < 0 ? across : -across);
        }
    }
};

template <class In, class Out>
void add_noise(const void *source, void *target, const uint64_t *keys, Py_ssize_t n, Py_ssize_t size, float std,
               float low, float high) {
    const Range range = within_type<Out>({low, high});
    Normals normals;
    const In *from = static_cast<const In *>(source);
    Out *to = static_cast<Out *>(target);
    for (Py_ssize_t row = 0; row < n; ++row)
        for (Py_ssize_t start = 0; start < size; start += 2 * Normals::PAIRS) {
            const Py_ssize_t count = std::min<Py_ssize_t>(size - start, 2 * Normals::PAIRS);
            normals.draw(keys[row], uint64_t(start / 2));
            for (Py_ssize_t i = 0; i < count; ++i)
                to[i] = clipped<Out>(float(from[i]) + std * normals.values[i], range);
            from += count, to += count;
        }
}

void add_any_noise(const void *source, void *target, const uint64_t *keys, Py_ssize_t n, Py_ssize_t size, float std,
                   float low, float high, int from_float, int to_float) {
    const auto way = from_float ? (to_float ? add_noise<float, float> : add_noise<float, uint8_t>)
                                : (to_float ? add_noise<uint8_t, float> : add_noise<uint8_t, uint8_t>);
    way(source, target, keys, n, size, std, low, high);
}

}  // namespace
