// Affine transformation of images with bilinear interpolation: warp() in _warp.py.

namespace {

// -- positions --------------------------------------------------------------------------------------------------------

// One coordinate of the input positions of a row of output pixels, in the padded image.
struct Coordinate {
    double start, step, low, high;

    Coordinate(const double *map, Py_ssize_t row, Py_ssize_t side, int border)
        : start(map[0] * double(row) + map[2] + 1), step(map[1]), low(border == CONSTANT ? 0 : 1),
          high(double(side + (border == CONSTANT))) {}
    double at(int32_t column) const { return hold(start + step * column, low, high); }
    double mirrored_at(int32_t column) const {
        const double period = 2 * std::max(high - 1, 1.0), place = start - 1 + step * column;
        const double rest = place - period * std::floor(place / period);
        return std::min(1 + std::min(rest, period - rest), high);
    }
};

// For each pixel of some rows of the output: the index of the upper left of the four pixels that it is interpolated from,
// and the weights of the lower and the right ones.
struct Places {
    int32_t *index;
    float *below, *right;
};

template <bool MIRRORED>
NOINLINE void find_places(const Coordinate y, const Coordinate x, int32_t n, int32_t stride, int32_t *RESTRICT index,
                          float *RESTRICT below, float *RESTRICT right) {
    for (int32_t i = 0; i < n; ++i) {
        const double at_y = MIRRORED ? y.mirrored_at(i) : y.at(i), at_x = MIRRORED ? x.mirrored_at(i) : x.at(i);
        const int32_t row = int32_t(at_y), column = int32_t(at_x);
        index[i] = row * stride + column;
        below[i] = float(at_y - row);
        right[i] = float(at_x - column);
    }
}

// A row inside the image takes half the time with positions in 32-bit fixed point: for a block of adjacent pixels,
// relative to their smallest whole position, in 2^-24 of a pixel. The step between adjacent pixels must be small.
const int BLOCK = 32, BITS = 24, MOST_STEP = 3;

// One axis of the image, in fixed point (2^-32 of a pixel).
struct Axis {
    int64_t start, down, across, low, high;
    int32_t ways[BLOCK];  // offsets from the first pixel of a block

    Axis(const double *map, Py_ssize_t side, int border)
        : start(counted(map[2] + 1)), down(counted(map[0])), across(counted(map[1])) {
        const int64_t ring = border == CONSTANT ? 1 : 0, margin = 1 << 10;  // larger than the rounding errors
        low = ((1 - ring) << 32) + margin, high = ((int64_t(side) + ring) << 32) - margin;
        for (int64_t k = 0; k < BLOCK; ++k) ways[k] = int32_t((k * across + 128) >> (32 - BITS));
    }
    static int64_t counted(double place) { return int64_t(std::floor(hold(place, -1e9, 1e9) * 4294967296.0 + 0.5)); }
    bool is_inside(int64_t place) const { return place > low && place < high; }
    bool is_inside(Py_ssize_t row, Py_ssize_t n) const {
        const int64_t first = start + row * down;
        return is_inside(first) && is_inside(first + (n - 1) * across);
    }
};

struct BlockStart {
    int32_t whole, rest;

    BlockStart(const Axis &axis, Py_ssize_t row, Py_ssize_t column, Py_ssize_t n) {
        const int64_t place = axis.start + row * axis.down + column * axis.across;
        const int64_t least = (place + std::min<int64_t>(0, axis.across * (n - 1))) >> 32;
        whole = int32_t(least), rest = int32_t((place - (least << 32)) >> (32 - BITS));
    }
};

NOINLINE void count_places(const BlockStart y, const BlockStart x, const int32_t *down, const int32_t *across,
                           int32_t stride, int32_t *RESTRICT index, float *RESTRICT below, float *RESTRICT right) {
    const int32_t first = y.whole * stride + x.whole, fraction = (1 << BITS) - 1;
    const float unit = 1.0f / (1 << BITS);
    for (int k = 0; k < BLOCK; ++k) {  // whole blocks are fastest; the buffers extend beyond the row
        const int32_t at_y = y.rest + down[k], at_x = x.rest + across[k];
        index[k] = first + (at_y >> BITS) * stride + (at_x >> BITS);
        below[k] = float(at_y & fraction) * unit;
        right[k] = float(at_x & fraction) * unit;
    }
}

// -- interpolation ----------------------------------------------------------------------------------------------------

// Weighted means of four pixels. Pairs of neighbors are copied first, so that the arithmetic is a loop over adjacent
// numbers.
NOINLINE void mix_gray(const float *image, Py_ssize_t stride, Places places, Py_ssize_t n, float *RESTRICT pairs,
                       float *RESTRICT pairs_below, float *RESTRICT out) {
    const float *RESTRICT below = places.below, *RESTRICT right = places.right;
    for (Py_ssize_t i = 0; i < n; ++i) {
        std::memcpy(pairs + 2 * i, image + places.index[i], 2 * sizeof *pairs);
        std::memcpy(pairs_below + 2 * i, image + stride + places.index[i], 2 * sizeof *pairs);
    }
    for (Py_ssize_t i = 0; i < n; ++i) {
        const float first = pairs[2 * i] + (pairs_below[2 * i] - pairs[2 * i]) * below[i];
        const float second = pairs[2 * i + 1] + (pairs_below[2 * i + 1] - pairs[2 * i + 1]) * below[i];
        out[i] = first + (second - first) * right[i];
    }
}

// The same for C channels; P values are computed per pixel, because a register of four is as fast as three.
template <int C, int P>
NOINLINE void mix_pixels(const float *RESTRICT image, Py_ssize_t stride, Places places, Py_ssize_t n,
                         float *RESTRICT out) {
    for (Py_ssize_t i = 0; i < n; ++i) {
        const float *above = image + Py_ssize_t(places.index[i]) * C, *below = above + stride * C;
        float value[P];
        for (int k = 0; k < P; ++k) {
            const float first = above[k] + (above[C + k] - above[k]) * places.right[i];
            const float second = below[k] + (below[C + k] - below[k]) * places.right[i];
            value[k] = first + (second - first) * places.below[i];
        }
        std::memcpy(out + i * C, value, sizeof value);
    }
}

// The same if all pixels of a row are between the same two rows of the image: these are interpolated to one line first.
template <int C, int P>
NOINLINE void mix_line(const float *RESTRICT above, float weight, Py_ssize_t stride, Places places, Py_ssize_t n,
                       float *RESTRICT line, float *RESTRICT out) {
    const float *below = above + stride * C;
    const auto ends = std::minmax(places.index[0], places.index[n - 1]);
    for (Py_ssize_t i = ends.first * C; i < (Py_ssize_t(ends.second) + 2) * C; ++i)
        line[i] = above[i] + (below[i] - above[i]) * weight;
    for (Py_ssize_t i = 0; i < n; ++i) {
        const float *left = line + Py_ssize_t(places.index[i]) * C;
        float value[P];
        for (int k = 0; k < P; ++k) value[k] = left[k] + (left[C + k] - left[k]) * places.right[i];
        std::memcpy(out + i * C, value, sizeof value);
    }
}

// -- images -----------------------------------------------------------------------------------------------------------

// One image padded with fill, by one pixel before it and two after it, and buffers for some rows of the output.
template <int C>
struct Reader {
    // Pixels per block: small blocks stall on values just written, large ones on memory.
    enum { SOME = C == 1 ? 128 : 64 };
    const Task &task;
    const Py_ssize_t stride, some_rows;
    std::vector<float> image, line, below, right, pairs, pairs_below;
    std::vector<int32_t> index;

    explicit Reader(const Task &task)
        : task(task), stride(task.width + 3), some_rows(SOME / (task.out_width + 1) + 1),
          image(size_t((task.height + 3) * stride * C + 1), float(task.fill)),
          line(size_t((stride + 1) * C)), below(size_t(some_rows * task.out_width + BLOCK)), right(below),
          pairs(2 * below.size()), pairs_below(pairs), index(below.size()) {}

    // Transform one image into ``out``, or, if its colors stay the same, some rows at a time into ``to``, while they are
    // in the cache. Meanwhile the image ``next`` is prefetched.
    template <class In, class Out>
    void read(const In *from, const double *map, const In *next, float *out, Out *to) {
        load(from, map);
        if (map[1] == 0 && map[3] == 0 && task.border != REFLECT && task.out_width > 0) return read_upright(map, out, to);
        const Axis rows(map, task.height, task.border), columns(map + 3, task.width, task.border);
        const size_t part = size_t(task.height * task.width * some_rows / (task.out_height + 1) + 1) * C * sizeof(In);
        const char *ahead = reinterpret_cast<const char *>(next);
        for (Py_ssize_t row = 0; row < task.out_height; row += some_rows, ahead += part) {
            for (size_t k = 0; k < part; k += 64) PREFETCH(ahead + k);
            const Py_ssize_t n = std::min(some_rows, task.out_height - row);
            for (Py_ssize_t k = 0; k < n; ++k) find_row(map, rows, columns, row + k, places(k * task.out_width));
            const Py_ssize_t size = n * task.out_width;
            if (C == 1)
                mix_gray(image.data(), stride, places(0), size, pairs.data(), pairs_below.data(), out);
            else
                mix_pixels<C, C == 3 ? 4 : C>(image.data(), stride, places(0), size, out);
            if (task.stages == 0)
                store(out, size * C, to), to += size * C;
            else
                out += size * C;
        }
    }

    // An image that is neither rotated nor sheared; twice as fast.
    template <class Out>
    void read_upright(const double *map, float *out, Out *to) {
        const Places columns = places(0);
        const Py_ssize_t size = task.out_width * C;
        const Coordinate x(map + 3, 0, task.width, task.border);
        find_places<false>(x, x, int32_t(task.out_width), 0, columns.index, columns.below, columns.right);  // indices within a row
        for (Py_ssize_t row = 0; row < task.out_height; ++row) {
            const double y = Coordinate(map, row, task.height, task.border).at(0);
            const Py_ssize_t whole = Py_ssize_t(y);
            mix_line<C, C == 3 ? 4 : C>(image.data() + whole * stride * C, float(y - double(whole)), stride, columns,
                                        task.out_width, line.data(), out);
            if (task.stages == 0)
                store(out, size, to), to += size;
            else
                out += size;
        }
    }

    // The rows of the image that the map reads.
    template <class In>
    void load(const In *from, const double *map) {
        const double down = map[0] * double(task.out_height - 1), across = map[1] * double(task.out_width - 1);
        const double least = map[2] + std::min(down, 0.0) + std::min(across, 0.0), end = double(task.height - 1);
        const double most = map[2] + std::max(down, 0.0) + std::max(across, 0.0);
        const bool all = task.border == REFLECT;
        const Py_ssize_t last = all ? task.height - 1 : Py_ssize_t(hold(most + 2, 0.0, end));
        for (Py_ssize_t row = all ? 0 : Py_ssize_t(hold(least - 1, 0.0, end)); row <= last; ++row) {
            const In *in = from + row * task.width * C;
            float *to = &image[size_t(((row + 1) * stride + 1) * C)];
            for (Py_ssize_t i = 0; i < task.width * C; ++i) to[i] = float(in[i]);
        }
    }

    void find_row(const double *map, const Axis &rows, const Axis &columns, Py_ssize_t row, Places to) {
        const int32_t n = int32_t(task.out_width), line = int32_t(stride);
        const bool small_steps = std::max(std::fabs(map[1]), std::fabs(map[4])) <= MOST_STEP;
        if (small_steps && rows.is_inside(row, n) && columns.is_inside(row, n)) {
            for (int32_t i = 0; i < n; i += BLOCK) {
                const BlockStart y(rows, row, i, std::min(BLOCK, n - i)), x(columns, row, i, std::min(BLOCK, n - i));
                count_places(y, x, rows.ways, columns.ways, line, to.index + i, to.below + i, to.right + i);
            }
            return;
        }
        const Coordinate y(map, row, task.height, task.border), x(map + 3, row, task.width, task.border);
        const auto find = task.border == REFLECT ? find_places<true> : find_places<false>;
        find(y, x, n, line, to.index, to.below, to.right);
    }

    Places places(Py_ssize_t first) { return {index.data() + first, below.data() + first, right.data() + first}; }
};

}  // namespace
