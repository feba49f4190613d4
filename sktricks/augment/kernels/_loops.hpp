// All loops over pixels. _kernels.cpp includes this file once for each target processor.

#include "_values.hpp"
#include "_color.hpp"
#include "_move.hpp"
#include "_read.hpp"
#include "_blur.hpp"
#include "_noise.hpp"

namespace {

// Transform images by their maps, if there are any, and change their colors: transform() in _kernels.py.
template <int C, class In, class Out>
void transform(const void *source, void *target, const Task &task) {
    const Py_ssize_t pixels = task.height * task.width * C, size = task.out_height * task.out_width * C;
    std::vector<float> floats(size_t(task.maps || task.stages > 1 ? size + 1 : 0));  // one extra, because three channels are written as four
    std::vector<Reader<C>> reader;
    if (task.maps) reader.emplace_back(task);
    for (Py_ssize_t i = 0; i < task.n; ++i) {
        const double *factors = task.factors + i * task.stages * 4;
        const In *from = static_cast<const In *>(source) + i * pixels;
        Out *to = static_cast<Out *>(target) + i * size;
        if (task.maps) {
            reader[0].read(from, task.maps + i * 6, i + 1 < task.n ? from + pixels : from, floats.data(), to);
            if (task.stages > 0) change_colors<C>(floats.data(), size, factors, task, floats.data(), to);
        } else {
            change_colors<C>(from, size, factors, task, floats.data(), to);
        }
    }
}

template <int C>
void transform_types(const void *source, void *target, const Task &task, int from_float, int to_float) {
    const auto way = from_float ? (to_float ? transform<C, float, float> : transform<C, float, uint8_t>)
                                : (to_float ? transform<C, uint8_t, float> : transform<C, uint8_t, uint8_t>);
    way(source, target, task);
}

void transform_any(const void *source, void *target, const Task &task, int channels, int from_float, int to_float) {
    const auto way = channels == 1 ? transform_types<1> : channels == 2 ? transform_types<2>
                   : channels == 3 ? transform_types<3> : transform_types<4>;
    way(source, target, task, from_float, to_float);
}

}  // namespace
