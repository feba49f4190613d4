// Brightness, contrast, saturation and hue: change_colors() in _color_factors.py.

namespace {

// A block of pixels with three separate channels, so that loops run over adjacent memory.
struct Block {
    enum { SIZE = 64 };
    float red[SIZE], green[SIZE], blue[SIZE];
};

void saturate(Block &b, float factor) {
    for (int i = 0; i < Block::SIZE; ++i) {
        const float gray = 0.299f * b.red[i] + 0.587f * b.green[i] + 0.114f * b.blue[i];
        b.red[i] = gray + (b.red[i] - gray) * factor;
        b.green[i] = gray + (b.green[i] - gray) * factor;
        b.blue[i] = gray + (b.blue[i] - gray) * factor;
    }
}

inline float hold_in_unit(float value) { return hold(value, 0.0f, 1.0f); }

void turn_hue(Block &b, float turn) {
    for (int i = 0; i < Block::SIZE; ++i) {
        const float red = b.red[i], green = b.green[i], blue = b.blue[i];
        float low = red < green ? red : green, high = red > green ? red : green;
        low = low < blue ? low : blue, high = high > blue ? high : blue;
        const float chroma = high - low, safe = chroma > 0.0f ? chroma : 1.0f;
        const float in_red = (green - blue) / safe, in_green = (blue - red) / safe + 2.0f;
        const float in_blue = (red - green) / safe + 4.0f;
        float hue = high == green ? in_green : in_blue;
        hue = (high == red ? in_red : hue) + 6.0f * turn + 6.0f;  // 2 to 14
        hue = hue >= 12.0f ? hue - 12.0f : hue;
        hue = hue >= 6.0f ? hue - 6.0f : hue;
        b.red[i] = low + chroma * hold_in_unit(std::fabs(hue - 3.0f) - 1.0f);
        b.green[i] = low + chroma * hold_in_unit(2.0f - std::fabs(hue - 2.0f));
        b.blue[i] = low + chroma * hold_in_unit(2.0f - std::fabs(hue - 4.0f));
    }
}

// The changes that apply to each value independently: brightness and contrast are a gain and a shift.
struct Change {
    float gain, shift, saturation, hue;

    template <class In>
    Change(const double *factors, const In *values, Py_ssize_t n, const Task &task) {
        const double brightness = factors[0], contrast = factors[1], black = task.clip ? task.low : 0.0;
        double offset = black * (1 - brightness);
        if (contrast != 1) {
            const double mean = brightness * sum(values, n) / double(n) + offset;
            offset = contrast * offset + (1 - contrast) * mean;
        }
        gain = float(brightness * contrast), shift = float(offset);
        saturation = float(factors[2]), hue = float(factors[3]);
    }
};

// The changes that combine the three channels of a pixel: saturation and hue.
template <class In, class Out>
void blend_channels(const In *from, Py_ssize_t n, const Change &change, Range range, Out *to) {
    Block b{};
    range = within_type<Out>(range);
    for (Py_ssize_t start = 0; start < n / 3; start += Block::SIZE) {
        const int count = int(std::min(n / 3 - start, Py_ssize_t(Block::SIZE)));
        const In *in = from + 3 * start;
        Out *out = to + 3 * start;
        for (int i = 0; i < count; ++i) {
            b.red[i] = change.gain * float(in[3 * i]) + change.shift;
            b.green[i] = change.gain * float(in[3 * i + 1]) + change.shift;
            b.blue[i] = change.gain * float(in[3 * i + 2]) + change.shift;
        }
        if (change.saturation != 1) saturate(b, change.saturation);
        if (change.hue != 0) turn_hue(b, change.hue);
        for (int i = 0; i < count; ++i) {
            out[3 * i] = clipped<Out>(b.red[i], range);
            out[3 * i + 1] = clipped<Out>(b.green[i], range);
            out[3 * i + 2] = clipped<Out>(b.blue[i], range);
        }
    }
}

// Conversion of bytes to gray in fixed point (1/65536 of a gray level), which is three times as fast as floats.
bool turn_gray(const uint8_t *RESTRICT from, Py_ssize_t n, uint8_t *RESTRICT to) {
    for (Py_ssize_t i = 0; i < n / 3; ++i) {
        const uint8_t *pixel = from + 3 * i;
        const uint32_t gray = (19595u * pixel[0] + 38470u * pixel[1] + 7471u * pixel[2] + 32768u) >> 16;
        to[3 * i] = to[3 * i + 1] = to[3 * i + 2] = uint8_t(gray);
    }
    return true;
}

bool turn_gray(const void *, Py_ssize_t, void *) { return false; }

// Change the colors of an image once, possibly in place. An image with neutral factors is not clipped.
template <int C, class In, class Out>
void change_color(const In *from, Py_ssize_t n, const double *factors, const Task &task, Out *to) {
    const Change change(factors, from, n, task);
    const bool mixes = change.saturation != 1 || change.hue != 0, scales = change.gain != 1 || change.shift != 0;
    const Range range = (mixes || scales) && task.clip ? Range{float(task.low), float(task.high)} : UNLIMITED;
    const bool only_gray = C == 3 && change.saturation == 0 && change.hue == 0 && !scales;
    if (only_gray && range.low <= 0 && range.high >= 255 && turn_gray(from, n, to)) return;
    if (C == 3 && mixes)
        blend_channels(from, n, change, range, to);
    else
        scale(from, n, change.gain, change.shift, range, to);
}

// Apply all changes in order, with floats in between.
template <int C, class In, class Out>
void change_colors(const In *from, Py_ssize_t n, const double *factors, const Task &task, float *between, Out *to) {
    if (task.stages == 0) return store(from, n, to);
    if (task.stages == 1) return change_color<C>(from, n, factors, task, to);
    change_color<C>(from, n, factors, task, between);
    for (int stage = 1; stage < task.stages - 1; ++stage)
        change_color<C>(between, n, factors + 4 * stage, task, between);
    change_color<C>(between, n, factors + 4 * (task.stages - 1), task, to);
}

}  // namespace
