// The weighted mean of each value and its neighbours, along rows and then columns, mirrored at the border:
// blur_with_numpy() in _bell.py, for uint8 and float32. Goes with _loops.hpp.

namespace {

enum { RUN = 16 };  // values whose sums are kept in registers; that many more may be read and written than are asked for

// Of each of n values the sum over 2 * reach + 1 taps, the outer ones first, two of equal weight at a time.
void weigh(const float *const *taps, const float *weights, Py_ssize_t reach, Py_ssize_t n, float *RESTRICT out) {
    for (Py_ssize_t start = 0; start < n; start += RUN) {
        float sum[RUN];
        const float *middle = taps[reach] + start;
        for (int i = 0; i < RUN; ++i) sum[i] = middle[i] * weights[reach];
        for (Py_ssize_t k = 0; k < reach; ++k) {
            const float *first = taps[k] + start, *second = taps[2 * reach - k] + start;
            for (int i = 0; i < RUN; ++i) sum[i] += (first[i] + second[i]) * weights[k];
        }
        std::memcpy(out + start, sum, sizeof sum);
    }
}

// A row as floats, with ``reach`` mirrored pixels before and after it.
template <class In>
void pad_row(const In *RESTRICT from, Py_ssize_t width, Py_ssize_t channels, Py_ssize_t reach, float *RESTRICT to) {
    to += reach * channels;
    for (Py_ssize_t i = 0; i < width * channels; ++i) to[i] = float(from[i]);
    for (Py_ssize_t x = 0; x < reach; ++x)
        for (const Py_ssize_t outside : {-1 - x, width + x})
            for (Py_ssize_t k = 0; k < channels; ++k)
                to[outside * channels + k] = float(from[hold(outside, width, REFLECT) * channels + k]);
}

// ``weights`` are (n, radius + 1), those of the middle last; zeros at the beginning make the bell of an image narrower.
template <class In, class Out>
Outcome blur(const void *source, void *target, const float *weights, Py_ssize_t n, Py_ssize_t height, Py_ssize_t width,
             Py_ssize_t channels, Py_ssize_t radius) {
    const Py_ssize_t row = width * channels, padded = row + 2 * radius * channels + RUN, whole = height * row + RUN;
    const size_t floats = size_t(padded + whole + row + RUN);
    void *all = std::malloc(floats * sizeof(float) + size_t(2 * radius + 1) * sizeof(float *));
    if (!all) return NO_ROOM;
    const float **taps = static_cast<const float **>(all);
    float *line = reinterpret_cast<float *>(taps + 2 * radius + 1), *image = line + padded, *out = image + whole;
    for (size_t i = 0; i < floats; ++i) line[i] = 0;
    for (Py_ssize_t i = 0; i < n; ++i, weights += radius + 1) {
        const In *from = static_cast<const In *>(source) + i * height * row;
        Out *to = static_cast<Out *>(target) + i * height * row;
        Py_ssize_t reach = radius;
        while (reach > 0 && weights[radius - reach] == 0) --reach;
        const float *own = weights + radius - reach;
        const bool across = width > 1, along = height > 1;  // a signal has neighbours in one direction
        for (Py_ssize_t k = 0; k <= 2 * reach; ++k) taps[k] = line + k * channels;
        for (Py_ssize_t y = 0; y < height; ++y) {
            pad_row(from + y * row, width, channels, across ? reach : 0, across ? line : image + y * row);
            if (across) weigh(taps, own, reach, row, image + y * row);
        }
        for (Py_ssize_t y = 0; y < height; ++y) {
            for (Py_ssize_t k = 0; k <= 2 * reach; ++k) taps[k] = image + hold(y + k - reach, height, REFLECT) * row;
            if (along) weigh(taps, own, reach, row, out);
            store(along ? out : image + y * row, row, to + y * row);
        }
    }
    std::free(all);
    return DONE;
}

Outcome blur_any(const void *source, void *target, const float *weights, Py_ssize_t n, Py_ssize_t height,
                 Py_ssize_t width, Py_ssize_t channels, Py_ssize_t radius, int from_float, int to_float) {
    const auto way = from_float ? (to_float ? blur<float, float> : blur<float, uint8_t>)
                                : (to_float ? blur<uint8_t, float> : blur<uint8_t, uint8_t>);
    return way(source, target, weights, n, height, width, channels, radius);
}

}  // namespace
