// Move pixels of any type without interpolation: move() in _warp.py.

namespace {

// Replace an index outside the image by the one that the border reads; -1 means the fill.
inline Py_ssize_t find_pixel(Py_ssize_t place, Py_ssize_t side, int border) {
    if (place >= 0 && place < side) return place;
    if (border == CONSTANT) return -1;
    if (border == EDGE || side == 1) return place < 0 ? 0 : side - 1;
    const Py_ssize_t period = 2 * (side - 1);
    place = ((place % period) + period) % period;
    return place < side ? place : period - place;
}

// Pixels of SIZE bytes, a constant for the compiler; 0 means any other size.
template <int SIZE>
void copy_pixels(const char *from, const int32_t *columns, Py_ssize_t n, Py_ssize_t size, const char *fill, char *to) {
    const size_t bytes = SIZE ? SIZE : size_t(size);
    for (Py_ssize_t x = 0; x < n; ++x)
        std::memcpy(to + size_t(x) * bytes, columns[x] < 0 ? fill : from + size_t(columns[x]) * bytes, bytes);
}

// Reverse a row of three-byte pixels. Four bytes are copied at a time, which is twice as fast; the next pixel overwrites
// the fourth.
void reverse_pixels(const char *RESTRICT from, Py_ssize_t n, char *RESTRICT to) {
    std::memcpy(to, from + (n - 1) * 3, 3);
    for (Py_ssize_t x = 1; x < n - 1; ++x) std::memcpy(to + x * 3, from + (n - 1 - x) * 3, 4);
    std::memcpy(to + (n - 1) * 3, from, 3);
}

void move_pixels(const char *source, char *target, const Task &task, const char *fill, Py_ssize_t size) {
    const auto copy = size == 1 ? copy_pixels<1> : size == 3 ? copy_pixels<3>
                    : size == 4 ? copy_pixels<4> : size == 12 ? copy_pixels<12> : copy_pixels<0>;
    std::vector<int32_t> columns(size_t(task.out_width) + 1), outside(columns.size(), -1);
    for (Py_ssize_t i = 0; i < task.n; ++i, source += task.height * task.width * size) {
        const double *map = task.maps + i * 6;
        const Py_ssize_t top = std::lround(map[2]), left = std::lround(map[5]);
        const Py_ssize_t down = map[0] < 0 ? -1 : 1, right = map[4] < 0 ? -1 : 1;
        const Py_ssize_t first = right == 1 ? left : left - task.out_width + 1;
        const bool inside = first >= 0 && first + task.out_width <= task.width;
        for (Py_ssize_t x = 0; x < task.out_width; ++x)
            columns[size_t(x)] = int32_t(find_pixel(left + right * x, task.width, task.border));
        for (Py_ssize_t y = 0; y < task.out_height; ++y, target += task.out_width * size) {
            const Py_ssize_t row = find_pixel(top + down * y, task.height, task.border);
            const char *from = source + row * task.width * size;
            if (row >= 0 && inside && right == 1)
                std::memcpy(target, from + first * size, size_t(task.out_width * size));
            else if (row >= 0 && inside && size == 3)
                reverse_pixels(from + first * size, task.out_width, target);
            else
                copy(from, (row < 0 ? outside : columns).data(), task.out_width, size, fill, target);
        }
    }
}

}  // namespace
