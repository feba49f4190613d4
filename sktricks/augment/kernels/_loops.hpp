// One pass over the pixels of each image: an affine map, then changes of colour, then one rounding.
//
// The same as move() and transform_with_numpy() in _kernels.py, which say what the arguments mean; here for uint8 and
// float32. Plain loops that a compiler can vectorise: of an image of three channels four values are read at a time, the
// fourth being the next pixel's and of no use. _kernels.cpp includes this, once for each kind of processor; where it
// says EIGHT_AT_ONCE, two loops that compilers make too little of are written with the compiler's own vectors.

namespace {

#ifdef EIGHT_AT_ONCE

// -- eight numbers, or sixteen small ones -----------------------------------------------------------------------------

typedef float Eight __attribute__((vector_size(32)));
typedef int32_t Eights __attribute__((vector_size(32)));
typedef double Pairs __attribute__((vector_size(32)));
typedef uint8_t Bytes __attribute__((vector_size(16)));
typedef uint16_t Words __attribute__((vector_size(32)));
typedef double Pair __attribute__((may_alias, aligned(4)));  // of floats, which are only moved

template <class Value, class Number>
inline Value read_eight(const Number *from) {
    Value value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

template <class Value, class Number>
inline void write_eight(Value value, Number *to) {
    std::memcpy(to, &value, sizeof value);
}

// Two neighbours each at the first, second, fifth and sixth of some places.
inline Eight read_pairs(const float *image, const int32_t *index) {
    const auto pair = [=](int k) { return *reinterpret_cast<const Pair *>(image + index[k]); };
    return Eight(Pairs{pair(0), pair(1), pair(4), pair(5)});
}

#endif

// -- places -----------------------------------------------------------------------------------------------------------

inline Py_ssize_t nearest(double place) { return Py_ssize_t(std::floor(place + 0.5)); }

// A whole place brought to where the border says that it is read; -1 is the fill.
inline Py_ssize_t hold(Py_ssize_t place, Py_ssize_t side, int border) {
    if (place >= 0 && place < side) return place;
    if (border == CONSTANT) return -1;
    if (border == EDGE || side == 1) return place < 0 ? 0 : side - 1;
    const Py_ssize_t period = 2 * (side - 1);
    place = ((place % period) + period) % period;
    return place < side ? place : period - place;
}

// Places are counted in 2^-32 of a pixel, so that a sum is exact and a shift splits it.
inline int64_t counted(double place) { return int64_t(place * 4294967296.0 + (place < 0 ? -0.5 : 0.5)); }

// How many steps it takes to go so far, none or all of n if it is more or less.
inline Py_ssize_t steps_to(double far, double step, Py_ssize_t n) {
    const double steps = far / step;
    if (!(steps > 0)) return 0;
    return steps < double(n) ? Py_ssize_t(steps) + 1 : n;
}

inline void repeat(Py_ssize_t first, Py_ssize_t end, int32_t at, float part, int32_t *index, float *weight) {
    for (Py_ssize_t x = first; x < end; ++x) index[x] = at, weight[x] = part;
}

// Coordinates along a row of the output, ``start + step * x``: indices into the image with its ring, and the weights of
// the pixels after them. A row comes in from below or above, goes through the image, and leaves it.
void split_places(double start, double step, Py_ssize_t n, Py_ssize_t side, int border, int32_t *RESTRICT index,
                  float *RESTRICT weight) {
    const bool ring = border == CONSTANT;  // counts as part of the image, whose pixels have the numbers from 1 on
    const double low = ring ? 0.0 : 1.0, high = double(ring ? side + 1 : side);
    start += 1.0;
    const double last = start + step * double(n - 1);
    const bool rises = step > 0 || (step == 0 && 2 * start < low + high);
    Py_ssize_t first = 0, end = n;
    if ((rises ? start : last) < low + 1e-6 || (rises ? last : start) > high - 1e-6) {
        first = step == 0 ? n : steps_to((rises ? low : high) - start, step, n);
        end = step == 0 ? n : steps_to((rises ? high : low) - start, step, n);
    }
    int64_t place = 0, by = 0;
    if (first < end) {
        const int64_t least = int64_t(low) << 32, most = int64_t(high) << 32;
        const auto outside = [=](int64_t where) { return where < least || where >= most; };
        place = counted(start + step * double(first));
        by = first + 1 < end ? counted(step) : 0;
        const auto before = [=](int64_t where) { return rises ? where < least : where >= most; };
        for (; first < end && before(place); ++first) place += by;  // by what was rounded
        while (first < end && outside(place + by * (end - 1 - first))) --end;
    }
    const int32_t bottom = ring ? 0 : 1, top = int32_t(side);
    const float all = ring ? 1.0f : 0.0f;  // the way from the last pixel to the ring
    repeat(0, first, rises ? bottom : top, rises ? 0.0f : all, index, weight);
    repeat(end, n, rises ? top : bottom, rises ? all : 0.0f, index, weight);
    for (Py_ssize_t x = first; x < end; ++x, place += by) {
        index[x] = int32_t(uint64_t(place) >> 32);
        weight[x] = float(int32_t(uint32_t(place) >> 8)) * (1.0f / 16777216.0f);
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

void find_places(double start, double step, Py_ssize_t n, Py_ssize_t side, int border, int32_t *index, float *weight) {
    if (border == REFLECT)
        fold_places(start, step, n, side, index, weight);
    else
        split_places(start, step, n, side, border, index, weight);
}

// Where a row of the output comes from: of its pixels from ``first`` to ``end`` the indices into the image with its
// ring, and the weights of the pixels after these. The others are fill.
struct Places {
    int32_t *index;
    float *weight_y, *weight_x;
    Py_ssize_t first, end;
};

// Coordinates so far inside the image, whose first pixel has the number 1, that no border has a say.
struct Inside {
    double low, high;

    Inside(Py_ssize_t side, int border)
        : low((border == CONSTANT ? 0.0 : 1.0) + 2e-7), high(double(border == CONSTANT ? side + 1 : side) - 2e-7) {}
    bool holds(double place) const { return place > low && place < high; }
};

// A few pixels of a row come from so near each other that 32 bits count their places, from the least on, in 2^-24 of a
// pixel, if each is no farther from the next than this.
const int FEW = 32, FARTHEST = 3, BITS = 24, PART = (1 << BITS) - 1;
const double COUNTS = 1 << BITS;

// Of the rows of the output, where a few pixels begin: the least place in whole pixels, as an index, and the way from
// there to the first.
struct Starts {
    int32_t *index, *rest_y, *rest_x;
};

// The ways from the first to each of them.
struct Way {
    int32_t to[FEW] = {};

    void set(double step, Py_ssize_t n) {
        const int32_t some = n < FEW ? int32_t(n) : FEW;
        step *= COUNTS;
        for (int32_t i = 0; i < some; ++i) to[i] = int32_t(step * double(i) + (step < 0 ? -0.5 : 0.5));
    }
};

// What find_places gives for both coordinates, in one go; the indices together, into rows of this stride.
INLINE void find_few_places(const Starts &starts, Py_ssize_t row, const Way &down, const Way &right, int32_t n,
                            int32_t stride, int32_t *index, float *weight_y, float *weight_x) {
    const float unit = float(1 / COUNTS);
    const int32_t first = starts.index[row], rest_y = starts.rest_y[row], rest_x = starts.rest_x[row];
#ifdef EIGHT_AT_ONCE
    for (int32_t i = 0; i < n; i += 8) {  // there is room for what is beyond the last
        const Eights y = rest_y + read_eight<Eights>(down.to + i), x = rest_x + read_eight<Eights>(right.to + i);
        write_eight(first + (y >> BITS) * stride + (x >> BITS), index + i);
        write_eight(__builtin_convertvector(y & PART, Eight) * unit, weight_y + i);
        write_eight(__builtin_convertvector(x & PART, Eight) * unit, weight_x + i);
    }
#else
    for (int32_t i = 0; i < n; ++i) {
        const int32_t y = rest_y + down.to[i], x = rest_x + right.to[i];
        index[i] = first + (y >> BITS) * stride + (x >> BITS);
        weight_y[i] = float(y & PART) * unit;
        weight_x[i] = float(x & PART) * unit;
    }
#endif
}

// First and last index that find_places can return for the places between these two.
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

inline float rounded(float value, float) { return value; }
inline uint8_t rounded(float value, uint8_t) { return as_byte(value); }

// gain * value + shift, held between low and high.
template <class In, class Out>
void scale(const In *RESTRICT from, Py_ssize_t n, float gain, float shift, float low, float high, Out *RESTRICT to) {
    if (std::is_same<Out, uint8_t>::value) {
        low = low < 0.0f ? 0.0f : (low > 255.0f ? 255.0f : low);
        high = high > 255.0f ? 255.0f : (high < 0.0f ? 0.0f : high);
    }
    for (Py_ssize_t i = 0; i < n; ++i) {
        float value = gain * float(from[i]) + shift;
        value = value < low ? low : value;
        to[i] = rounded(value > high ? high : value, Out());
    }
}

inline void store(const float *from, Py_ssize_t n, float *to) { std::memcpy(to, from, size_t(n) * sizeof *to); }

inline void store(const float *from, Py_ssize_t n, uint8_t *to) { scale(from, n, 1.0f, 0.0f, 0.0f, 255.0f, to); }

void scale_in_place(float *values, Py_ssize_t n, float gain, float shift, float low, float high) {
    for (Py_ssize_t i = 0; i < n; ++i) {
        float value = gain * values[i] + shift;
        value = value < low ? low : value;
        values[i] = value > high ? high : value;
    }
}

const int LANES = 32;  // sums at a time, that a processor need not wait for each

template <class In, class Number>
inline void add_to_lanes(const In *RESTRICT values, const In *end, Number *RESTRICT sums) {
    for (; values < end; values += LANES)
        for (int k = 0; k < LANES; ++k) sums[k] = Number(sums[k] + values[k]);
}

#ifdef EIGHT_AT_ONCE
inline void add_to_lanes(const float *values, const float *end, float *sums) {
    Eight some[LANES / 8] = {};
    for (; values < end; values += LANES)
        for (int k = 0; k < LANES / 8; ++k) some[k] += read_eight<Eight>(values + 8 * k);
    std::memcpy(sums, some, sizeof some);
}

inline void add_to_lanes(const uint8_t *values, const uint8_t *end, uint16_t *sums) {
    Words some[LANES / 16] = {};
    for (; values < end; values += LANES)
        for (int k = 0; k < LANES / 16; ++k)
            some[k] += __builtin_convertvector(read_eight<Bytes>(values + 16 * k), Words);
    std::memcpy(sums, some, sizeof some);
}
#endif

template <class In>
double sum(const In *values, Py_ssize_t n) {
    using Number = typename std::conditional<std::is_same<In, float>::value, float, uint16_t>::type;
    const Py_ssize_t block = 64 * LANES;  // of bytes so few that their sums are no longer than two bytes
    double total = 0;
    for (Py_ssize_t start = 0; start < n; start += block) {
        Number sums[LANES] = {};
        const Py_ssize_t end = start + block < n ? start + block : n, whole = end - (end - start) % LANES;
        add_to_lanes(values + start, values + whole, sums);
        for (Py_ssize_t i = whole; i < end; ++i) sums[0] += values[i];
        for (int k = 0; k < LANES; ++k) total += double(sums[k]);
    }
    return total;
}

// Whether there is neither NaN nor infinity, told by the bits, since arithmetic here takes it for granted.
inline bool are_finite(const uint8_t *, Py_ssize_t) { return true; }

inline bool are_finite(const float *RESTRICT values, Py_ssize_t n) {
    int32_t most = 0;
    for (Py_ssize_t i = 0; i < n; ++i) {
        int32_t bits;
        std::memcpy(&bits, values + i, sizeof bits);
        bits &= INT32_MAX;  // without the sign
        most = bits > most ? bits : most;
    }
    return most < 0x7f800000;
}

// -- reading ----------------------------------------------------------------------------------------------------------

// Room for one image in float32 with its ring, for the output in float32, for a row of pixels, and for some of places.
struct Scratch {
    enum { LINE = 16 };  // numbers in a line of the cache, in which each part begins
    enum { ROWS = 4 };   // of the output, at a time: processors wait for a small part of what they have just written
    float *image = nullptr, *output, *line;
    int32_t *index_y;
    Starts starts;
    Places places[ROWS];
    void *all;

    // For so many and for what is written beyond the last.
    static size_t room(size_t n) { return (n + 8 + LINE - 1) / LINE * LINE; }

    Scratch(const Task &task, int channels) {
        const size_t ringed = room(size_t(task.height + 2) * size_t(task.width + 2) * channels);
        const size_t result = room(size_t(task.out_height) * size_t(task.out_width) * channels);
        const size_t across = room(size_t(task.width + 2) * channels), row = room(size_t(task.out_width));
        const size_t starting = room(size_t(task.out_height) * (size_t(task.out_width) / FEW + 1));
        all = std::malloc((ringed + result + across + 3 * starting + (3 * ROWS + 1) * row + LINE) * sizeof *image);
        if (!all) return;
        const uintptr_t align = LINE * sizeof *image, start = reinterpret_cast<uintptr_t>(all);
        image = reinterpret_cast<float *>((start + align - 1) / align * align);
        output = image + ringed, line = output + result;
        float *next = line + across;
        index_y = reinterpret_cast<int32_t *>(next), next += row;
        starts.index = reinterpret_cast<int32_t *>(next), next += starting;
        starts.rest_y = reinterpret_cast<int32_t *>(next), next += starting;
        starts.rest_x = reinterpret_cast<int32_t *>(next), next += starting;
        for (Places &one : places)
            one = {reinterpret_cast<int32_t *>(next), next + row, next + 2 * row, 0, 0}, next += 3 * row;
        for (size_t i = 0; i < ringed; ++i) image[i] = float(task.fill);
    }
    ~Scratch() { std::free(all); }
};

// Some rows and columns of an image into the middle of its ring.
template <int C, class In>
void load(const In *RESTRICT from, const Task &task, Py_ssize_t top, Py_ssize_t bottom, Py_ssize_t left,
          Py_ssize_t right, float *RESTRICT image) {
    const Py_ssize_t n = (right - left + 1) * C;
    for (Py_ssize_t row = top; row <= bottom; ++row) {
        const In *RESTRICT in = from + (row * task.width + left) * C;
        float *RESTRICT to = image + ((row + 1) * (task.width + 2) + left + 1) * C;
        for (Py_ssize_t i = 0; i < n; ++i) to[i] = float(in[i]);
    }
}

// One row of the output of one channel, bilinearly. Without loops over channels and neighbours in it, compilers make of
// the loop over pixels one over several at a time.
INLINE void read_grey_row(const float *RESTRICT image, Py_ssize_t stride, const Places &places, float *RESTRICT out) {
    const int32_t *RESTRICT index = places.index;
    const float *RESTRICT weight_y = places.weight_y, *RESTRICT weight_x = places.weight_x;
    const float *RESTRICT right = image + 1, *RESTRICT below = image + stride, *RESTRICT last = image + stride + 1;
    const Py_ssize_t n = places.end - places.first;
    Py_ssize_t done = 0;
#ifdef EIGHT_AT_ONCE
    for (; done + 8 <= n; done += 8) {
        const int32_t *at = index + done;
        const Eight by_y = read_eight<Eight>(weight_y + done), by_x = read_eight<Eight>(weight_x + done);
        Eight one = read_pairs(image, at), two = read_pairs(image, at + 2);
        one += (read_pairs(below, at) - one) * __builtin_shuffle(by_y, Eights{0, 0, 1, 1, 4, 4, 5, 5});
        two += (read_pairs(below, at + 2) - two) * __builtin_shuffle(by_y, Eights{2, 2, 3, 3, 6, 6, 7, 7});
        const Eight here = __builtin_shuffle(one, two, Eights{0, 2, 8, 10, 4, 6, 12, 14});
        const Eight next = __builtin_shuffle(one, two, Eights{1, 3, 9, 11, 5, 7, 13, 15});
        write_eight(here + (next - here) * by_x, out + done);
    }
#endif
    for (Py_ssize_t x = done; x < n; ++x) {
        const float here = image[index[x]] + (below[index[x]] - image[index[x]]) * weight_y[x];
        const float next = right[index[x]] + (last[index[x]] - right[index[x]]) * weight_y[x];
        out[x] = here + (next - here) * weight_x[x];
    }
}

// One row of the output, bilinearly; P values are read at a time and written over C.
template <int C, int P>
void read_row(const float *RESTRICT image, Py_ssize_t stride, const Places &places, float *RESTRICT out) {
    const int32_t *RESTRICT index = places.index;
    const float *RESTRICT weights_x = places.weight_x, *RESTRICT weights_y = places.weight_y;
    for (Py_ssize_t x = 0; x < places.end - places.first; ++x) {
        const float *RESTRICT above = image + Py_ssize_t(index[x]) * C;
        const float *RESTRICT below = above + stride * C;
        const float wx = weights_x[x], wy = weights_y[x];
        float value[P];
        for (int k = 0; k < P; ++k) {
            const float first = above[k] + (above[C + k] - above[k]) * wx;
            const float second = below[k] + (below[C + k] - below[k]) * wx;
            value[k] = first + (second - first) * wy;
        }
        std::memcpy(out + x * C, value, sizeof value);
    }
}

// The same where the whole row lies between two rows of the image: these become one line first.
template <int C, int P>
void read_line(const float *RESTRICT above, const float *RESTRICT below, float weight, Py_ssize_t left, Py_ssize_t right,
               const Places &places, Py_ssize_t n, float *RESTRICT line, float *RESTRICT out) {
    for (Py_ssize_t i = left * C; i < right * C; ++i) line[i] = above[i] + (below[i] - above[i]) * weight;
    for (Py_ssize_t x = 0; x < n; ++x) {
        const float *RESTRICT first = line + places.index[x] * C;
        const float part = places.weight_x[x];
        float value[P];
        for (int k = 0; k < P; ++k) value[k] = first[k] + (first[C + k] - first[k]) * part;
        std::memcpy(out + x * C, value, sizeof value);
    }
}

inline void prefetch(const char *at, size_t size) {
    enum { LINE = 64 };
    for (size_t k = 0; k < size; k += LINE) PREFETCH(at + k);
}

// The next image on its way from memory while this one is computed, part by part, if both fit the cache.
struct Ahead {
    enum { MOST = 65536 };
    const char *at;
    size_t left, step;

    Ahead(const void *image, size_t size, Py_ssize_t parts)
        : at(static_cast<const char *>(image)), left(size > MOST ? 0 : size), step(left / size_t(parts) + 1) {}
    void fetch() {
        const size_t size = step < left ? step : left;
        prefetch(at, size);
        at += size, left -= size;
    }
};

// The rows of the output in float32, one after the other.
template <int C, int P, class In>
struct Reader {
    const Task &task;
    Scratch &s;
    const Inside rows, columns;
    const In *from = nullptr;
    const double *map = nullptr;
    Py_ssize_t top = 0, down = 1;
    bool upright = false;  // whether rows come from rows
    Py_ssize_t leftmost = 0, rightmost = 0;  // the columns, in the ringed image, that they then come from
    bool dense = false;                      // whether a few pixels can be counted
    Py_ssize_t first_inner = 0, end_inner = 0;  // the rows of the output that then lie inside the image
    Way along_y, along_x;

    Reader(const Task &task, Scratch &s)
        : task(task), s(s), rows(task.height, task.border), columns(task.width, task.border) {}

    void begin(const In *image, const double *its_map) {
        from = image, map = its_map;
        if (!map) return;
        if (!task.exact) return begin_warp();
        top = nearest(map[2]), down = map[0] < 0 ? -1 : 1;
        const Py_ssize_t left = nearest(map[5]), right = map[4] < 0 ? -1 : 1;
        for (Py_ssize_t x = 0; x < task.out_width; ++x)
            s.places[0].index[x] = int32_t(hold(left + right * x, task.width, task.border));
    }

    // The part of the image that the map reaches, into the ring.
    void begin_warp() {
        Py_ssize_t first[2], last[2];
        const Py_ssize_t sides[2] = {task.height, task.width};
        for (int axis = 0; axis < 2; ++axis) {
            const double *m = map + 3 * axis;
            const double by_y = m[0] * double(task.out_height - 1), by_x = m[1] * double(task.out_width - 1);
            const double least = m[2] + (by_y < 0 ? by_y : 0) + (by_x < 0 ? by_x : 0);
            const double most = m[2] + (by_y > 0 ? by_y : 0) + (by_x > 0 ? by_x : 0);
            dense = (axis == 0 || dense) && std::fabs(m[1]) <= FARTHEST && least > -1e7 && most < 1e7;  // else imprecise
            find_reach(least - 1e-6, most + 1e-6, sides[axis], task.border, first + axis, last + axis);
        }
        load<C>(from, task, first[0], last[0], first[1], last[1], s.image);
        upright = map[1] == 0 && map[3] == 0;
        if (upright) return begin_upright();
        first_inner = end_inner = 0;
        if (dense) along_y.set(map[1], task.out_width), along_x.set(map[4], task.out_width), find_inner_rows();
    }

    void begin_upright() {
        int32_t *index = s.places[0].index;
        find_places(map[5], map[4], task.out_width, task.width, task.border, index, s.places[0].weight_x);
        leftmost = rightmost = index[0];
        for (Py_ssize_t x = 1; x < task.out_width; ++x) {
            leftmost = index[x] < leftmost ? index[x] : leftmost;
            rightmost = index[x] > rightmost ? index[x] : rightmost;
        }
        rightmost += 2;
    }

    // From this row to that, no more than Scratch::ROWS.
    INLINE void some_rows(Py_ssize_t first, Py_ssize_t end, float *RESTRICT out) {
        if (map && !task.exact && !upright) return warp_rows(first, end, out);
        for (Py_ssize_t y = first; y < end; ++y, out += task.out_width * C) row(y, out);
    }

    INLINE void row(Py_ssize_t y, float *RESTRICT out) {
        if (map && !task.exact) return upright_row(y, out);
        const Py_ssize_t n = task.out_width * C;
        const Py_ssize_t place = map ? hold(top + down * y, task.height, task.border) : y;
        const In *RESTRICT in = from + place * task.width * C;
        const int32_t *index = s.places[0].index;
        if (!map)
            for (Py_ssize_t i = 0; i < n; ++i) out[i] = float(in[i]);
        else
            for (Py_ssize_t x = 0; x < task.out_width; ++x)
                for (int k = 0; k < C; ++k)
                    out[x * C + k] = place < 0 || index[x] < 0 ? float(task.fill) : float(in[index[x] * C + k]);
    }

    void upright_row(Py_ssize_t y, float *out) {
        const Py_ssize_t stride = task.width + 2;
        float weight;
        find_places(map[0] * double(y) + map[2], 0, 1, task.height, task.border, s.index_y, &weight);
        const float *above = s.image + s.index_y[0] * stride * C;
        const float *below = above + stride * C;
        read_line<C, P>(above, below, weight, leftmost, rightmost, s.places[0], task.out_width, s.line, out);
    }

    INLINE void warp_rows(Py_ssize_t first, Py_ssize_t end, float *RESTRICT out) {
        for (Py_ssize_t y = first; y < end; ++y) find_row(y, s.places[y - first]);
        for (Py_ssize_t y = first; y < end; ++y, out += task.out_width * C) {
            const Places &places = s.places[y - first];
            for (Py_ssize_t i = 0; i < places.first * C; ++i) out[i] = float(task.fill);
            if (C == 1)
                read_grey_row(s.image, task.width + 2, places, out + places.first);
            else
                read_row<C, P>(s.image, task.width + 2, places, out + places.first * C);
            for (Py_ssize_t i = places.end * C; i < task.out_width * C; ++i) out[i] = float(task.fill);
        }
    }

    double y_of(Py_ssize_t y, Py_ssize_t x) const { return map[2] + 1 + map[1] * double(x) + map[0] * double(y); }
    double x_of(Py_ssize_t y, Py_ssize_t x) const { return map[5] + 1 + map[4] * double(x) + map[3] * double(y); }
    bool is_inside(Py_ssize_t y, Py_ssize_t x) const { return rows.holds(y_of(y, x)) && columns.holds(x_of(y, x)); }
    bool is_inner(Py_ssize_t y) const { return is_inside(y, 0) && is_inside(y, task.out_width - 1); }

    static Py_ssize_t few(Py_ssize_t n) { return n < FEW ? n : FEW; }

    // The rows that lie inside are neighbours. Where their pixels begin is found for all of them together.
    void find_inner_rows() {
        end_inner = task.out_height;
        while (first_inner < end_inner && !is_inner(first_inner)) ++first_inner;
        while (first_inner < end_inner && !is_inner(end_inner - 1)) --end_inner;
        for (Py_ssize_t x = 0, at = 0; x < task.out_width; x += FEW, at += task.out_height)
            find_starts(x, few(task.out_width - x), first_inner, end_inner, s.starts.index + at, s.starts.rest_y + at,
                        s.starts.rest_x + at);
    }

    // Of n pixels from this one on, in some rows.
    void find_starts(Py_ssize_t x, Py_ssize_t n, Py_ssize_t first, Py_ssize_t end, int32_t *RESTRICT index,
                     int32_t *RESTRICT rest_y, int32_t *RESTRICT rest_x) const {
        const double least_y = map[1] < 0 ? map[1] * double(n - 1) : 0, from_y = y_of(0, x), by_y = map[0];
        const double least_x = map[4] < 0 ? map[4] * double(n - 1) : 0, from_x = x_of(0, x), by_x = map[3];
        const int32_t stride = int32_t(task.width + 2);
        for (Py_ssize_t row = first; row < end; ++row) {
            const double at_y = from_y + by_y * double(int32_t(row)), at_x = from_x + by_x * double(int32_t(row));
            const int32_t whole_y = int32_t(at_y + least_y), whole_x = int32_t(at_x + least_x);
            index[row] = whole_y * stride + whole_x;
            rest_y[row] = int32_t((at_y - double(whole_y)) * COUNTS + 0.5);
            rest_x[row] = int32_t((at_x - double(whole_x)) * COUNTS + 0.5);
        }
    }

    INLINE void find_row(Py_ssize_t y, Places &places) {
        const Py_ssize_t n = task.out_width;
        places.first = 0, places.end = n;
        if (y < first_inner || y >= end_inner) return find_outer_row(y, places);
        for (Py_ssize_t x = 0, at = y; x < n; x += FEW, at += task.out_height)
            find_few_places(s.starts, at, along_y, along_x, int32_t(few(n - x)), int32_t(task.width + 2),
                            places.index + x, places.weight_y + x, places.weight_x + x);
    }

    // A row of which some pixels, at its ends, come from outside.
    void find_outer_row(Py_ssize_t y, Places &places) {
        if (!dense || task.border != CONSTANT) return find_any_places(y, places);
        while (places.first < places.end && !is_inside(y, places.first)) ++places.first;
        while (places.first < places.end && !is_inside(y, places.end - 1)) --places.end;
        for (Py_ssize_t x = places.first, i = 0; x < places.end; x += FEW, i += FEW) {
            const Py_ssize_t n = few(places.end - x);
            find_starts(x, n, y, y + 1, s.starts.index, s.starts.rest_y, s.starts.rest_x);
            find_few_places(s.starts, y, along_y, along_x, int32_t(n), int32_t(task.width + 2), places.index + i,
                            places.weight_y + i, places.weight_x + i);
        }
    }

    void find_any_places(Py_ssize_t y, Places &places) {
        const Py_ssize_t n = task.out_width, stride = task.width + 2;
        find_places(map[0] * double(y) + map[2], map[1], n, task.height, task.border, s.index_y, places.weight_y);
        find_places(map[3] * double(y) + map[5], map[4], n, task.width, task.border, places.index, places.weight_x);
        for (Py_ssize_t x = 0; x < n; ++x) places.index[x] += s.index_y[x] * int32_t(stride);
    }
};

// -- colour -----------------------------------------------------------------------------------------------------------

// Some pixels of three channels, each channel by itself so that the loops are as wide as can be.
struct Block {
    enum { SIZE = 64 };
    float red[SIZE], green[SIZE], blue[SIZE];
};

void saturate(Block &b, float factor) {
    for (int i = 0; i < Block::SIZE; ++i) {
        const float grey = 0.299f * b.red[i] + 0.587f * b.green[i] + 0.114f * b.blue[i];
        b.red[i] = grey + (b.red[i] - grey) * factor;
        b.green[i] = grey + (b.green[i] - grey) * factor;
        b.blue[i] = grey + (b.blue[i] - grey) * factor;
    }
}

inline float hold_in_unit(float value) {
    value = value < 0.0f ? 0.0f : value;
    return value > 1.0f ? 1.0f : value;
}

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

// gain * value + shift, saturation and hue of n values, in place.
void change_pixels(float *values, Py_ssize_t n, float gain, float shift, float saturation, float hue) {
    Block b{};
    for (Py_ssize_t start = 0; start < n; start += 3 * Block::SIZE) {
        const int count = int((n - start < 3 * Block::SIZE ? n - start : 3 * Block::SIZE) / 3);
        float *pixels = values + start;
        for (int i = 0; i < count; ++i) {
            b.red[i] = gain * pixels[3 * i] + shift;
            b.green[i] = gain * pixels[3 * i + 1] + shift;
            b.blue[i] = gain * pixels[3 * i + 2] + shift;
        }
        if (saturation != 1) saturate(b, saturation);
        if (hue != 0) turn_hue(b, hue);
        for (int i = 0; i < count; ++i) {
            pixels[3 * i] = b.red[i];
            pixels[3 * i + 1] = b.green[i];
            pixels[3 * i + 2] = b.blue[i];
        }
    }
}

// What a stage does to each value by itself; a contrast is about the mean of all.
struct Tone {
    float gain, shift, saturation, hue;

    template <class In>
    Tone(const double *tone, const In *values, Py_ssize_t n, const Task &task) {
        const double brightness = tone[0], contrast = tone[1], black = task.clip ? task.low : 0.0;
        double offset = black * (1 - brightness);
        if (contrast != 1) offset = contrast * offset + (1 - contrast) * (brightness * sum(values, n) / double(n) + offset);
        gain = float(brightness * contrast), shift = float(offset);
        saturation = float(tone[2]), hue = float(tone[3]);
    }
    bool changes() const { return gain != 1 || shift != 0 || mixes(); }
    bool mixes() const { return saturation != 1 || hue != 0; }
};

struct Range {
    float low, high;
    explicit Range(const Task &task)
        : low(task.clip ? float(task.low) : -FLT_MAX), high(task.clip ? float(task.high) : FLT_MAX) {}
};

// All changes of colour, the last of them together with the rounding.
template <int C, class Out>
void change_tones(float *values, Py_ssize_t n, const double *tones, const Task &task, Out *to) {
    const Range range(task);
    for (int stage = 0; stage < task.stages; ++stage) {
        Tone tone(tones + 4 * stage, values, n, task);
        if (!tone.changes()) continue;
        if (C == 3 && tone.mixes()) {
            change_pixels(values, n, tone.gain, tone.shift, tone.saturation, tone.hue);
            tone.gain = 1, tone.shift = 0;  // what is left is to hold the values in their range
        }
        if (stage == task.stages - 1) return scale(values, n, tone.gain, tone.shift, range.low, range.high, to);
        scale_in_place(values, n, tone.gain, tone.shift, range.low, range.high);
    }
    store(values, n, to);
}

// Bytes without their colour: the same in 1/65536 of a grey level.
void make_grey(const uint8_t *RESTRICT from, Py_ssize_t n, uint8_t *RESTRICT to) {
    for (Py_ssize_t i = 0; i < n / 3; ++i) {
        const uint8_t *pixel = from + 3 * i;
        const uint32_t grey = (19595u * pixel[0] + 38470u * pixel[1] + 7471u * pixel[2] + 32768u) >> 16;
        to[3 * i] = to[3 * i + 1] = to[3 * i + 2] = uint8_t(grey);
    }
}

void make_grey(const void *, Py_ssize_t, void *) {}

// An image that stays where it is, and of which each value or pixel changes by itself: without a detour through floats.
template <int C, class In, class Out>
bool change_in_place(const In *from, Py_ssize_t n, const double *tones, const Task &task, Out *to) {
    const bool same = std::is_same<In, Out>::value, bytes = same && sizeof(In) == 1;
    if (task.maps || task.stages != 1) return false;
    const Tone tone(tones, from, n, task);
    const Range range(task);
    if (!tone.changes()) {
        if (same) std::memcpy(to, from, size_t(n) * sizeof(In));
        return same;
    }
    if (C == 3 && tone.mixes()) {
        const bool grey = tone.saturation == 0 && tone.hue == 0 && tone.gain == 1 && tone.shift == 0;
        if (!bytes || !grey || range.low > 0 || range.high < 255) return false;
        make_grey(from, n, to);
        return true;
    }
    scale(from, n, tone.gain, tone.shift, range.low, range.high, to);
    return true;
}

// -- the loop over the images -----------------------------------------------------------------------------------------

template <int C, int P, class In, class Out>
Outcome transform(const void *source, void *target, const Task &task) {
    Scratch s(task, C);
    if (!s.image) return NO_ROOM;
    Reader<C, P, In> reader(task, s);
    const Py_ssize_t row = task.out_width * C, size = task.out_height * row, pixels = task.height * task.width * C;
    for (Py_ssize_t i = 0; i < task.n; ++i) {
        const double *tones = task.tones + i * task.stages * 4;
        const In *from = static_cast<const In *>(source) + i * pixels;
        Out *to = static_cast<Out *>(target) + i * size;
        if (task.look && !are_finite(from, pixels)) return NOT_FINITE;
        if (!task.out_height || change_in_place<C>(from, size, tones, task, to)) continue;
        reader.begin(from, task.maps ? task.maps + i * 6 : nullptr);
        const size_t to_come = i + 1 < task.n ? size_t(pixels) * sizeof(In) : 0;
        Ahead ahead(from + pixels, to_come, task.out_height / Scratch::ROWS + 1);
        bool whole = false;  // a contrast needs the mean of the whole image first
        for (int stage = 0; stage < task.stages; ++stage) whole = whole || tones[stage * 4 + 1] != 1;
        for (Py_ssize_t y = 0; y < task.out_height; y += Scratch::ROWS) {
            const Py_ssize_t end = std::min(y + Scratch::ROWS, task.out_height);
            ahead.fetch();
            reader.some_rows(y, end, whole ? s.output + y * row : s.output);
            if (!whole) change_tones<C>(s.output, (end - y) * row, tones, task, to + y * row);
        }
        if (whole) change_tones<C>(s.output, size, tones, task, to);
    }
    return DONE;
}

template <int C, int P>
Outcome transform_types(const void *source, void *target, const Task &task, int from_float, int to_float) {
    if (from_float)
        return to_float ? transform<C, P, float, float>(source, target, task)
                        : transform<C, P, float, uint8_t>(source, target, task);
    return to_float ? transform<C, P, uint8_t, float>(source, target, task)
                    : transform<C, P, uint8_t, uint8_t>(source, target, task);
}

Outcome transform_any(const void *source, void *target, const Task &task, int channels, int from_float, int to_float) {
    switch (channels) {
        case 1: return transform_types<1, 1>(source, target, task, from_float, to_float);
        case 2: return transform_types<2, 2>(source, target, task, from_float, to_float);
        case 3: return transform_types<3, 4>(source, target, task, from_float, to_float);
        default: return transform_types<4, 4>(source, target, task, from_float, to_float);
    }
}

void copy_pixels(const char *RESTRICT from, const int32_t *columns, Py_ssize_t n, Py_ssize_t size,
                 const char *fill, char *RESTRICT to) {
    for (Py_ssize_t x = 0; x < n; ++x)
        std::memcpy(to + x * size, columns[x] < 0 ? fill : from + columns[x] * size, size_t(size));
}

// A row from its last pixel to its first, all of it inside the image. Pixels of three bytes go four at a time, the
// fourth being written over by the next pixel.
template <int SIZE>
void reverse_pixels(const char *RESTRICT from, Py_ssize_t n, Py_ssize_t size, char *RESTRICT to) {
    if (SIZE == 3 && n > 1) {
        std::memcpy(to, from + (n - 1) * 3, 3);
        for (Py_ssize_t x = 1; x < n - 1; ++x) std::memcpy(to + x * 3, from + (n - 1 - x) * 3, 4);
        std::memcpy(to + (n - 1) * 3, from, 3);
        return;
    }
    const Py_ssize_t bytes = SIZE ? SIZE : size;
    for (Py_ssize_t x = 0; x < n; ++x) std::memcpy(to + x * bytes, from + (n - 1 - x) * bytes, SIZE ? SIZE : size_t(size));
}

// Pixels of any kind, moved as they are.
Outcome move_pixels(const char *source, char *target, const Task &task, const char *fill, Py_ssize_t size) {
    int32_t *columns = static_cast<int32_t *>(std::malloc(size_t(task.out_width + 1) * sizeof(int32_t)));
    if (!columns) return NO_ROOM;
    const Py_ssize_t row_size = task.width * size;
    const char *end = source + task.n * task.height * row_size;
    for (Py_ssize_t i = 0; i < task.n; ++i) {
        const double *map = task.maps + i * 6;
        const Py_ssize_t top = nearest(map[2]), left = nearest(map[5]);
        const Py_ssize_t down = map[0] < 0 ? -1 : 1, right = map[4] < 0 ? -1 : 1;
        const Py_ssize_t first = right == 1 ? left : left - task.out_width + 1;
        const bool inside = first >= 0 && first + task.out_width <= task.width;
        const bool whole = inside && right == 1, mirrored = inside && right == -1;
        const bool fetches = mirrored && row_size >= 256;  // processors do so themselves, but not backwards
        for (Py_ssize_t x = 0; x < task.out_width; ++x) columns[x] = int32_t(hold(left + right * x, task.width, task.border));
        for (Py_ssize_t y = 0; y < task.out_height; ++y, target += task.out_width * size) {
            const Py_ssize_t row = hold(top + down * y, task.height, task.border);
            const char *from = source + (i * task.height + (row < 0 ? 0 : row)) * row_size;
            if (fetches && from - source >= 2 * row_size && end - from > 2 * row_size)
                prefetch(from + 2 * down * row_size, size_t(row_size));
            if (row < 0)
                for (Py_ssize_t x = 0; x < task.out_width; ++x) std::memcpy(target + x * size, fill, size_t(size));
            else if (whole)
                std::memcpy(target, from + left * size, size_t(task.out_width * size));
            else if (mirrored && size == 1)
                reverse_pixels<1>(from + first * size, task.out_width, size, target);
            else if (mirrored && size == 3)
                reverse_pixels<3>(from + first * size, task.out_width, size, target);
            else if (mirrored && size == 4)
                reverse_pixels<4>(from + first * size, task.out_width, size, target);
            else if (mirrored && size == 12)
                reverse_pixels<12>(from + first * size, task.out_width, size, target);
            else if (mirrored)
                reverse_pixels<0>(from + first * size, task.out_width, size, target);
            else
                copy_pixels(from, columns, task.out_width, size, fill, target);
        }
    }
    std::free(columns);
    return DONE;
}

}  // namespace
