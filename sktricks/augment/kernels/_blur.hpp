// Convolution with symmetric kernels along both axes, mirrored at the border: blur_with_numpy() in _gaussian.py, for
// uint8 and float32.

namespace {

enum { RUN = 16 };  // values whose sums are kept in registers; buffers need as many extra values at their end

// Compute for each of n values the sum over 2 * radius + 1 taps, from the outside in, adding pairs of equal weight.
void weigh(const float *const *taps, const float *weights, Py_ssize_t radius, Py_ssize_t n, float *RESTRICT out) {
    for (Py_ssize_t start = 0; start < n; start += RUN) {
        float sum[RUN];
        const float *middle = taps[radius] + start;
        for (int i = 0; i < RUN; ++i) sum[i] = middle[i] * weights[radius];
        for (Py_ssize_t k = 0; k < radius; ++k) {
            const float *first = taps[k] + start, *second = taps[2 * radius - k] + start;
            for (int i = 0; i < RUN; ++i) sum[i] += (first[i] + second[i]) * weights[k];
        }
        std::memcpy(out + start, sum, sizeof sum);
    }
}

// A row as floats, with ``radius`` mirrored pixels before and after it.
template <class In>
void pad_row(const In *RESTRICT from, Py_ssize_t width, Py_ssize_t channels, Py_ssize_t radius, float *RESTRICT to) {
    for (Py_ssize_t i = 0; i < width * channels; ++i) to[radius * channels + i] = float(from[i]);
    for (Py_ssize_t x = 0; x < radius; ++x)
        for (const Py_ssize_t outside : {-1 - x, width + x})
            for (Py_ssize_t k = 0; k < channels; ++k)
                to[(radius + outside) * channels + k] = float(from[find_pixel(outside, width, REFLECT) * channels + k]);
}

// ``weights`` are (n, most + 1), ending with the center; leading zeros make the kernel of an image narrower.
template <class In, class Out>
void blur(const void *source, void *target, const float *weights, Py_ssize_t n, Py_ssize_t height, Py_ssize_t width,
          Py_ssize_t channels, Py_ssize_t most) {
    const Py_ssize_t row = width * channels;
    std::vector<float> line(size_t(row + 2 * most * channels + RUN)), image(size_t(height * row + RUN));
    std::vector<float> out(size_t(row + RUN));
    std::vector<const float *> taps(size_t(2 * most + 1));
    const bool across = width > 1, along = height > 1;  // a signal has a single axis
    for (Py_ssize_t i = 0; i < n; ++i, weights += most + 1) {
        const In *from = static_cast<const In *>(source) + i * height * row;
        Out *to = static_cast<Out *>(target) + i * height * row;
        Py_ssize_t radius = most;
        while (radius > 0 && weights[most - radius] == 0) --radius;
        const float *own = weights + most - radius;
        for (Py_ssize_t k = 0; k <= 2 * radius; ++k) taps[size_t(k)] = line.data() + k * channels;
        for (Py_ssize_t y = 0; y < height; ++y) {
            float *blurred = image.data() + y * row;
            pad_row(from + y * row, width, channels, across ? radius : 0, across ? line.data() : blurred);
            if (across) weigh(taps.data(), own, radius, row, blurred);
        }
        for (Py_ssize_t y = 0; y < height; ++y) {
            for (Py_ssize_t k = 0; k <= 2 * radius; ++k)
                taps[size_t(k)] = image.data() + find_pixel(y + k - radius, height, REFLECT) * row;
            if (along) weigh(taps.data(), own, radius, row, out.data());
            store(along ? out.data() : image.data() + y * row, row, to + y * row);
        }
    }
}

void blur_any(const void *source, void *target, const float *weights, Py_ssize_t n, Py_ssize_t height, Py_ssize_t width,
              Py_ssize_t channels, Py_ssize_t most, int from_float, int to_float) {
    const auto way = from_float ? (to_float ? blur<float, float> : blur<float, uint8_t>)
                                : (to_float ? blur<uint8_t, float> : blur<uint8_t, uint8_t>);
    way(source, target, weights, n, height, width, channels, most);
}

}  // namespace
