// One pass over the pixels of each image: an affine map, then changes of colour, then one rounding.
//
// The same as move() and transform_with_numpy() in _kernels.py, which say what the arguments mean; here for uint8 and
// float32. Plain loops that a compiler can vectorise four wide: an image of three channels gets a fourth in the scratch.

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#if defined(_MSC_VER)
#define RESTRICT __restrict
#else
#define RESTRICT __restrict__
#endif

namespace {

enum Border { CONSTANT, EDGE, REFLECT };

struct Task {
    Py_ssize_t n, height, width, out_height, out_width;
    int border, exact, stages, clip;
    double fill, low, high;
    const double *maps;   // (n, 2, 3), or null for the pixels as they are
    const double *tones;  // (n, stages, 4)
};

// -- places -----------------------------------------------------------------------------------------------------------

// A whole place brought to where the border says that it is read; -1 is the fill.
inline Py_ssize_t hold(Py_ssize_t place, Py_ssize_t side, int border) {
    if (place >= 0 && place < side) return place;
    if (border == CONSTANT) return -1;
    if (border == EDGE || side == 1) return place < 0 ? 0 : side - 1;
    const Py_ssize_t period = 2 * (side - 1);
    place = ((place % period) + period) % period;
    return place < side ? place : period - place;
}

// Coordinates along a row of the output, ``start + step * x``: indices into the image with its ring, and the weights of
// the pixels after them. Counted from the least of a few at a time, so that floats are wide enough for them.
void split_places(double start, double step, Py_ssize_t n, Py_ssize_t side, int border, int32_t *RESTRICT index,
                  float *RESTRICT weight) {
    const double low = border == CONSTANT ? -1.0 : 0.0, high = double(border == CONSTANT ? side : side - 1);
    const int32_t last = int32_t(side);
    for (Py_ssize_t first = 0; first < n; first += 32) {
        const int count = int(n - first < 32 ? n - first : 32);
        const double from = start + step * double(first), to = start + step * double(first + count - 1);
        double least = from < to ? from : to;
        least = least < low ? low : (least > high ? high : least);
        const int32_t origin = int32_t(least + 1.0);  // of the ring; nothing is negative, so that to truncate is to floor
        least = double(origin) - 1.0;
        const float offset = float(from - least), slope = float(step);
        const float least_place = float(low - least), most_place = float(high - least);
        for (int x = 0; x < count; ++x) {
            float place = offset + slope * float(x);
            place = place < least_place ? least_place : place;
            place = place > most_place ? most_place : place;
            int32_t held = int32_t(place) + origin;
            held = held < last ? held : last;
            index[first + x] = held;
            weight[first + x] = place - float(held - origin);
        }
    }
}

// The same where the image is mirrored at its outermost pixels.
void fold_places(double start, double step, Py_ssize_t n, Py_ssize_t side, int32_t *RESTRICT index,
                 float *RESTRICT weight) {
    const double period = side > 1 ? 2.0 * double(side - 1) : 2.0;
    const int32_t last = int32_t(side);
    for (Py_ssize_t x = 0; x < n; ++x) {
        double place = start + step * double(x);
        place -= period * std::floor(place / period);
        place = place < period - place ? place : period - place;
        const int32_t whole = int32_t(place) + 1;
        index[x] = whole < last ? whole : last;
        weight[x] = float(place - double(index[x] - 1));
    }
}

// First and last index that split_places can return for the places between these two.
void find_reach(double low, double high, Py_ssize_t side, int border, Py_ssize_t *first, Py_ssize_t *last) {
    if (border == REFLECT) {
        *first = 0, *last = side - 1;
        return;
    }
    const double most = double(side - 1);
    low = low < 0 ? 0 : (low > most ? most : low);
    high = high < 0 ? 0 : (high > most ? most : high);
    *first = Py_ssize_t(low);
    *last = Py_ssize_t(high) + 1 < side ? Py_ssize_t(high) + 1 : side - 1;
}

// -- values -----------------------------------------------------------------------------------------------------------

// A value between 0 and 255, rounded half to even, as numpy does: added to this, a float has no room for its fraction.
inline uint8_t as_byte(float value) {
    const float big = value + 8388608.0f;
    int32_t bits;
    std::memcpy(&bits, &big, sizeof bits);
    return uint8_t(bits);
}

// gain * value + shift, held between low and high.
template <class Out>
void scale(const float *RESTRICT from, Py_ssize_t n, float gain, float shift, float low, float high, Out *RESTRICT to);

template <>
void scale(const float *RESTRICT from, Py_ssize_t n, float gain, float shift, float low, float high,
           float *RESTRICT to) {
    for (Py_ssize_t i = 0; i < n; ++i) {
        float value = gain * from[i] + shift;
        value = value < low ? low : value;
        to[i] = value > high ? high : value;
    }
}

template <>
void scale(const float *RESTRICT from, Py_ssize_t n, float gain, float shift, float low, float high,
           uint8_t *RESTRICT to) {
    low = low < 0.0f ? 0.0f : (low > 255.0f ? 255.0f : low);
    high = high > 255.0f ? 255.0f : (high < 0.0f ? 0.0f : high);
    for (Py_ssize_t i = 0; i < n; ++i) {
        float value = gain * from[i] + shift;
        value = value < low ? low : value;
        to[i] = as_byte(value > high ? high : value);
    }
}

inline void store(const float *from, Py_ssize_t n, float *to) { std::memcpy(to, from, size_t(n) * sizeof *to); }

inline void store(const float *from, Py_ssize_t n, uint8_t *to) { scale<uint8_t>(from, n, 1.0f, 0.0f, 0.0f, 255.0f, to); }

void scale_in_place(float *values, Py_ssize_t n, float gain, float shift, float low, float high) {
    for (Py_ssize_t i = 0; i < n; ++i) {
        float value = gain * values[i] + shift;
        value = value < low ? low : value;
        values[i] = value > high ? high : value;
    }
}

double sum(const float *values, Py_ssize_t n) {
    double total = 0;
    for (Py_ssize_t start = 0; start < n; start += 256) {
        float some[8] = {0, 0, 0, 0, 0, 0, 0, 0};
        const Py_ssize_t end = start + 256 < n ? start + 256 : n;
        Py_ssize_t i = start;
        for (; i + 8 <= end; i += 8)
            for (int k = 0; k < 8; ++k) some[k] += values[i + k];
        for (; i < end; ++i) some[0] += values[i];
        for (int k = 0; k < 8; ++k) total += double(some[k]);
    }
    return total;
}

// -- reading ----------------------------------------------------------------------------------------------------------

// Room for one image in float32 with its ring, for the output in float32, and for one row of places.
struct Scratch {
    float *image, *output, *weight_x, *weight_y;
    int32_t *x, *y;
    void *all;

    Scratch(const Task &task, int channels, int padded) {
        const size_t ringed = size_t(task.height + 2) * size_t(task.width + 2) * padded + 8;
        const size_t result = size_t(task.out_height) * size_t(task.out_width) * channels + 8;
        const size_t row = size_t(task.out_width) + 8;
        all = std::malloc((ringed + result + 4 * row) * 4);
        image = static_cast<float *>(all);
        if (!image) return;
        output = image + ringed;
        weight_x = output + result, weight_y = weight_x + row;
        x = reinterpret_cast<int32_t *>(weight_y + row), y = x + row;
        for (size_t i = 0; i < ringed; ++i) image[i] = float(task.fill);
    }
    ~Scratch() { std::free(all); }
};

// Some rows and columns of an image into the middle of its ring.
template <int C, int P, class In>
void load(const In *RESTRICT from, const Task &task, Py_ssize_t top, Py_ssize_t bottom, Py_ssize_t left,
          Py_ssize_t right, float *RESTRICT image) {
    for (Py_ssize_t row = top; row <= bottom; ++row) {
        const In *RESTRICT in = from + (row * task.width + left) * C;
        float *RESTRICT to = image + ((row + 1) * (task.width + 2) + left + 1) * P;
        Py_ssize_t n = right - left + 1;
        if (C == P) {
            for (Py_ssize_t i = 0; i < n * C; ++i) to[i] = float(in[i]);
            continue;
        }
        for (Py_ssize_t x = 0; x < n - 1; ++x)
            for (int k = 0; k < P; ++k) to[x * P + k] = float(in[x * C + k]);  // the fourth is the next pixel's first
        for (int k = 0; k < C; ++k) to[(n - 1) * P + k] = float(in[(n - 1) * C + k]);
    }
}

// One row of the output, bilinearly; writes P - C values past its end.
template <int C, int P>
void read_row(const float *RESTRICT image, Py_ssize_t stride, const Scratch &s, Py_ssize_t n, float *RESTRICT out) {
    for (Py_ssize_t x = 0; x < n; ++x) {
        const float *RESTRICT above = image + (s.y[x] * stride + s.x[x]) * P;
        const float *RESTRICT below = above + stride * P;
        const float wx = s.weight_x[x], wy = s.weight_y[x];
        float value[P];
        for (int k = 0; k < P; ++k) {
            const float first = above[k] + (above[P + k] - above[k]) * wx;
            const float second = below[k] + (below[P + k] - below[k]) * wx;
            value[k] = first + (second - first) * wy;
        }
        std::memcpy(out + x * C, value, sizeof value);
    }
}

// The output in float32; returns the sum of its values.
template <int C, int P, class In>
double warp(const In *from, const double *map, const Task &task, Scratch &s) {
    const Py_ssize_t stride = task.width + 2;
    double least[2], most[2];
    for (int axis = 0; axis < 2; ++axis) {
        const double *m = map + 3 * axis;
        const double down = m[0] * double(task.out_height - 1), right = m[1] * double(task.out_width - 1);
        least[axis] = m[2] + (down < 0 ? down : 0) + (right < 0 ? right : 0);
        most[axis] = m[2] + (down > 0 ? down : 0) + (right > 0 ? right : 0);
    }
    Py_ssize_t top, bottom, left, right;
    find_reach(least[0] - 1e-6, most[0] + 1e-6, task.height, task.border, &top, &bottom);
    find_reach(least[1] - 1e-6, most[1] + 1e-6, task.width, task.border, &left, &right);
    load<C, P>(from, task, top, bottom, left, right, s.image);
    double total = 0;
    for (Py_ssize_t y = 0; y < task.out_height; ++y) {
        const double down = map[0] * double(y) + map[2], right = map[3] * double(y) + map[5];
        if (task.border == REFLECT) {
            fold_places(down, map[1], task.out_width, task.height, s.y, s.weight_y);
            fold_places(right, map[4], task.out_width, task.width, s.x, s.weight_x);
        } else {
            split_places(down, map[1], task.out_width, task.height, task.border, s.y, s.weight_y);
            split_places(right, map[4], task.out_width, task.width, task.border, s.x, s.weight_x);
        }
        float *out = s.output + y * task.out_width * C;
        read_row<C, P>(s.image, stride, s, task.out_width, out);
        total += sum(out, task.out_width * C);
    }
    return total;
}

// The same for flips and shifts by whole pixels.
template <int C, class In>
double shift(const In *from, const double *map, const Task &task, Scratch &s) {
    const Py_ssize_t top = Py_ssize_t(std::floor(map[2] + 0.5)), left = Py_ssize_t(std::floor(map[5] + 0.5));
    const Py_ssize_t down = map[0] < 0 ? -1 : 1, right = map[4] < 0 ? -1 : 1;
    for (Py_ssize_t x = 0; x < task.out_width; ++x) s.x[x] = int32_t(hold(left + right * x, task.width, task.border));
    double total = 0;
    for (Py_ssize_t y = 0; y < task.out_height; ++y) {
        const Py_ssize_t row = hold(top + down * y, task.height, task.border);
        float *RESTRICT out = s.output + y * task.out_width * C;
        for (Py_ssize_t x = 0; x < task.out_width; ++x)
            for (int k = 0; k < C; ++k)
                out[x * C + k] = row < 0 || s.x[x] < 0 ? float(task.fill) : float(from[(row * task.width + s.x[x]) * C + k]);
        total += sum(out, task.out_width * C);
    }
    return total;
}

template <int C, class In>
double copy(const In *from, const Task &task, Scratch &s) {
    const Py_ssize_t row = task.out_width * C;
    double total = 0;
    for (Py_ssize_t y = 0; y < task.out_height; ++y) {
        float *RESTRICT out = s.output + y * row;
        for (Py_ssize_t i = 0; i < row; ++i) out[i] = float(from[y * row + i]);
        total += sum(out, row);
    }
    return total;
}

// -- colour -----------------------------------------------------------------------------------------------------------

void saturate(float *pixel, float factor) {
    const float grey = 0.299f * pixel[0] + 0.587f * pixel[1] + 0.114f * pixel[2];
    for (int k = 0; k < 3; ++k) pixel[k] = grey + (pixel[k] - grey) * factor;
}

void turn_hue(float *pixel, float turn) {
    const float red = pixel[0], green = pixel[1], blue = pixel[2];
    float low = red < green ? red : green, high = red > green ? red : green;
    low = low < blue ? low : blue, high = high > blue ? high : blue;
    const float chroma = high - low;
    if (!(chroma > 0)) return;
    float hue = high == red     ? (green - blue) / chroma
                : high == green ? (blue - red) / chroma + 2
                                : (red - green) / chroma + 4;
    hue += 6 * turn;
    hue -= 6 * std::floor(hue / 6);
    static const float peak[3] = {3, 2, 4}, sign[3] = {1, -1, -1};
    for (int k = 0; k < 3; ++k) {
        float ramp = (std::fabs(hue - peak[k]) - 1.5f) * sign[k] + 0.5f;
        ramp = ramp < 0 ? 0 : (ramp > 1 ? 1 : ramp);
        pixel[k] = low + chroma * ramp;
    }
}

// All changes of colour of one image, the last of them together with the rounding.
template <int C, class Out>
void change_tones(float *values, Py_ssize_t n, double total, const double *tones, const Task &task, Out *to) {
    const float infinite = HUGE_VALF;
    const float low = task.clip ? float(task.low) : -infinite, high = task.clip ? float(task.high) : infinite;
    for (int stage = 0; stage < task.stages; ++stage, tones += 4) {
        const double brightness = tones[0], contrast = tones[1], saturation = tones[2], hue = tones[3];
        if (brightness == 1 && contrast == 1 && saturation == 1 && hue == 0) continue;
        const double black = task.clip ? task.low : 0.0;
        double shift = black * (1 - brightness);
        if (contrast != 1) {
            const double mean = brightness * (stage ? sum(values, n) : total) / double(n) + shift;
            shift = contrast * shift + (1 - contrast) * mean;
        }
        const float gain = float(brightness * contrast), offset = float(shift);
        if (saturation == 1 && hue == 0) {
            if (stage == task.stages - 1) {
                scale<Out>(values, n, gain, offset, low, high, to);
                return;
            }
            scale_in_place(values, n, gain, offset, low, high);
            continue;
        }
        scale_in_place(values, n, gain, offset, -infinite, infinite);
        for (Py_ssize_t i = 0; C == 3 && i < n; i += 3) {
            if (saturation != 1) saturate(values + i, float(saturation));
            if (hue != 0) turn_hue(values + i, float(hue));
        }
        scale_in_place(values, n, 1.0f, 0.0f, low, high);
    }
    store(values, n, to);
}

// -- the loop over the images -----------------------------------------------------------------------------------------

template <int C, int P, class In, class Out>
bool transform(const void *source, void *target, const Task &task) {
    Scratch s(task, C, P);
    if (!s.image) return false;
    const Py_ssize_t size = task.out_height * task.out_width * C;
    for (Py_ssize_t i = 0; i < task.n; ++i) {
        const In *from = static_cast<const In *>(source) + i * task.height * task.width * C;
        Out *to = static_cast<Out *>(target) + i * size;
        const double *map = task.maps + i * 6;
        const double total = !task.maps    ? copy<C>(from, task, s)
                             : task.exact ? shift<C>(from, map, task, s)
                                          : warp<C, P>(from, map, task, s);
        change_tones<C>(s.output, size, total, task.tones + i * task.stages * 4, task, to);
    }
    return true;
}

template <int C, int P>
bool transform_types(const void *source, void *target, const Task &task, int from_float, int to_float) {
    if (from_float)
        return to_float ? transform<C, P, float, float>(source, target, task)
                        : transform<C, P, float, uint8_t>(source, target, task);
    return to_float ? transform<C, P, uint8_t, float>(source, target, task)
                    : transform<C, P, uint8_t, uint8_t>(source, target, task);
}

bool transform_any(const void *source, void *target, const Task &task, int channels, int from_float, int to_float) {
    switch (channels) {
        case 1: return transform_types<1, 1>(source, target, task, from_float, to_float);
        case 2: return transform_types<2, 2>(source, target, task, from_float, to_float);
        case 3: return transform_types<3, 4>(source, target, task, from_float, to_float);
        default: return transform_types<4, 4>(source, target, task, from_float, to_float);
    }
}

template <int SIZE>
void copy_pixels(const char *RESTRICT from, const int32_t *columns, Py_ssize_t n, Py_ssize_t size,
                 const char *fill, char *RESTRICT to) {
    const Py_ssize_t bytes = SIZE ? SIZE : size;
    for (Py_ssize_t x = 0; x < n; ++x)
        std::memcpy(to + x * bytes, columns[x] < 0 ? fill : from + columns[x] * bytes, SIZE ? SIZE : size_t(size));
}

// Pixels of any kind, moved as they are.
bool move_pixels(const char *source, char *target, const Task &task, const char *fill, Py_ssize_t size) {
    int32_t *columns = static_cast<int32_t *>(std::malloc(size_t(task.out_width + 1) * sizeof(int32_t)));
    if (!columns) return false;
    for (Py_ssize_t i = 0; i < task.n; ++i) {
        const double *map = task.maps + i * 6;
        const Py_ssize_t top = Py_ssize_t(std::floor(map[2] + 0.5)), left = Py_ssize_t(std::floor(map[5] + 0.5));
        const Py_ssize_t down = map[0] < 0 ? -1 : 1, right = map[4] < 0 ? -1 : 1;
        const bool whole = right == 1 && left >= 0 && left + task.out_width <= task.width;
        for (Py_ssize_t x = 0; x < task.out_width; ++x) columns[x] = int32_t(hold(left + right * x, task.width, task.border));
        for (Py_ssize_t y = 0; y < task.out_height; ++y, target += task.out_width * size) {
            const Py_ssize_t row = hold(top + down * y, task.height, task.border);
            const char *from = source + (i * task.height + (row < 0 ? 0 : row)) * task.width * size;
            if (row < 0)
                for (Py_ssize_t x = 0; x < task.out_width; ++x) std::memcpy(target + x * size, fill, size_t(size));
            else if (whole)
                std::memcpy(target, from + left * size, size_t(task.out_width * size));
            else if (size == 1)
                copy_pixels<1>(from, columns, task.out_width, size, fill, target);
            else if (size == 3)
                copy_pixels<3>(from, columns, task.out_width, size, fill, target);
            else if (size == 4)
                copy_pixels<4>(from, columns, task.out_width, size, fill, target);
            else if (size == 12)
                copy_pixels<12>(from, columns, task.out_width, size, fill, target);
            else
                copy_pixels<0>(from, columns, task.out_width, size, fill, target);
        }
    }
    std::free(columns);
    return true;
}

// -- Python -----------------------------------------------------------------------------------------------------------

struct Buffers {
    Py_buffer source{}, target{}, maps{}, tones{};
    ~Buffers() {
        Py_buffer *all[] = {&source, &target, &maps, &tones};
        for (Py_buffer *buffer : all)
            if (buffer->obj) PyBuffer_Release(buffer);
    }
};

PyObject *finish(bool done) {
    if (!done) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

bool fits(Py_ssize_t wanted, const Py_buffer &buffer, const char *name) {
    if (buffer.len == wanted) return true;
    PyErr_Format(PyExc_ValueError, "%s must have %zd bytes, got %zd", name, wanted, buffer.len);
    return false;
}

PyObject *py_transform(PyObject *, PyObject *args) {
    Buffers b;
    Task task{};
    int channels, from_float, to_float;
    if (!PyArg_ParseTuple(args, "y*w*y*y*(nnniinn)(ididd)(ii)", &b.source, &b.target, &b.maps, &b.tones, &task.n,
                          &task.height, &task.width, &channels, &task.stages, &task.out_height, &task.out_width,
                          &task.border, &task.fill, &task.clip, &task.low, &task.high, &from_float, &to_float))
        return nullptr;
    task.exact = task.border >> 8, task.border &= 255;
    task.maps = b.maps.len ? static_cast<const double *>(b.maps.buf) : nullptr;
    task.tones = static_cast<const double *>(b.tones.buf);
    const Py_ssize_t in = task.n * task.height * task.width * channels;
    const Py_ssize_t out = task.n * task.out_height * task.out_width * channels;
    if (channels < 1 || channels > 4) return PyErr_Format(PyExc_ValueError, "1 to 4 channels, got %d", channels);
    if (!fits(in * (from_float ? 4 : 1), b.source, "source") || !fits(out * (to_float ? 4 : 1), b.target, "target") ||
        !fits(task.maps ? task.n * 48 : 0, b.maps, "maps") || !fits(task.n * task.stages * 32, b.tones, "tones") ||
        (!task.maps && !fits(in * (from_float ? 4 : 1), b.source, "source")))
        return nullptr;
    bool done;
    Py_BEGIN_ALLOW_THREADS;
    done = transform_any(b.source.buf, b.target.buf, task, channels, from_float, to_float);
    Py_END_ALLOW_THREADS;
    return finish(done);
}

PyObject *py_move(PyObject *, PyObject *args) {
    Buffers b;
    Task task{};
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "y*w*y*y*(nnnnnn)i", &b.source, &b.target, &b.maps, &b.tones, &task.n, &task.height,
                          &task.width, &size, &task.out_height, &task.out_width, &task.border))
        return nullptr;
    if (!fits(task.n * task.height * task.width * size, b.source, "source") ||
        !fits(task.n * task.out_height * task.out_width * size, b.target, "target") ||
        !fits(task.n * 48, b.maps, "maps") || !fits(size, b.tones, "fill"))
        return nullptr;
    task.maps = static_cast<const double *>(b.maps.buf);
    bool done;
    Py_BEGIN_ALLOW_THREADS;
    done = move_pixels(static_cast<const char *>(b.source.buf), static_cast<char *>(b.target.buf), task,
                       static_cast<const char *>(b.tones.buf), size);
    Py_END_ALLOW_THREADS;
    return finish(done);
}

PyMethodDef methods[] = {
    {"transform", py_transform, METH_VARARGS, "Affine map, changes of colour, one rounding."},
    {"move", py_move, METH_VARARGS, "Flips and shifts by whole pixels."},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef module = {PyModuleDef_HEAD_INIT, "_compiled", nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__compiled() { return PyModule_Create(&module); }
