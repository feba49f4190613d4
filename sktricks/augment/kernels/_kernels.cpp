// The Python interface of the loops: four functions on contiguous memory, which release the GIL.

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <new>
#include <type_traits>
#include <vector>

#if defined(_MSC_VER)
#define RESTRICT __restrict
#define PREFETCH(address) (void(address))
#define NOINLINE __declspec(noinline)
#else
#define RESTRICT __restrict__
#define PREFETCH(address) __builtin_prefetch(address)
#define NOINLINE __attribute__((noinline))
#endif

namespace {

enum Border { CONSTANT, EDGE, REFLECT };

struct Task {
    Py_ssize_t n, height, width, out_height, out_width;
    int border, stages, clip;
    double fill, low, high;
    const double *maps;     // (n, 2, 3), or null for no transformation
    const double *factors;  // (n, stages, 4)
};

}  // namespace

namespace plain {
#include "_loops.hpp"
}

// The same loops for processors with 256-bit vectors, where the compiler can target both.
#if defined(__x86_64__) && defined(__GNUC__) && __GNUC__ >= 9 && !defined(__clang__)
#define HAS_WIDE
#pragma GCC push_options
#pragma GCC target("avx2")
namespace wide {
#include "_loops.hpp"
}
#pragma GCC pop_options
#endif

namespace {

struct Loops {
    decltype(&plain::transform_any) transform;
    decltype(&plain::move_pixels) move;
    decltype(&plain::blur_any) blur;
    decltype(&plain::add_any_noise) add_noise;
};

Loops loops;

// Use the wide loops if they are requested and the processor supports them; returns whether they are in use.
bool choose_loops([[maybe_unused]] bool wanted) {
    loops = {plain::transform_any, plain::move_pixels, plain::blur_any, plain::add_any_noise};
#ifdef HAS_WIDE
    if (!wanted || !__builtin_cpu_supports("avx2")) return false;
    loops = {wide::transform_any, wide::move_pixels, wide::blur_any, wide::add_any_noise};
    return true;
#else
    return false;
#endif
}

struct Buffers {
    Py_buffer source{}, target{}, maps{}, values{};
    ~Buffers() {
        Py_buffer *all[] = {&source, &target, &maps, &values};
        for (Py_buffer *buffer : all)
            if (buffer->obj) PyBuffer_Release(buffer);
    }
};

// Run a loop without the GIL, and return None; C++ exceptions are converted to Python exceptions.
template <class Loop>
PyObject *run(const Loop &loop) {
    bool has_room = true;
    Py_BEGIN_ALLOW_THREADS;
    try {
        loop();
    } catch (const std::bad_alloc &) {
        has_room = false;
    }
    Py_END_ALLOW_THREADS;
    if (!has_room) return PyErr_NoMemory();
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
    if (!PyArg_ParseTuple(args, "y*w*y*y*(nnniinn)(ididd)(ii)", &b.source, &b.target, &b.maps, &b.values, &task.n,
                          &task.height, &task.width, &channels, &task.stages, &task.out_height, &task.out_width,
                          &task.border, &task.fill, &task.clip, &task.low, &task.high, &from_float, &to_float))
        return nullptr;
    task.maps = b.maps.len ? static_cast<const double *>(b.maps.buf) : nullptr;
    task.factors = static_cast<const double *>(b.values.buf);
    const Py_ssize_t in = task.n * task.height * task.width * channels;
    const Py_ssize_t out = task.n * task.out_height * task.out_width * channels;
    if (channels < 1 || channels > 4) return PyErr_Format(PyExc_ValueError, "1 to 4 channels, got %d", channels);
    if (!fits(in * (from_float ? 4 : 1), b.source, "source") || !fits(out * (to_float ? 4 : 1), b.target, "target") ||
        !fits(task.maps ? task.n * 48 : 0, b.maps, "maps") || !fits(task.n * task.stages * 32, b.values, "factors") ||
        (!task.maps && !fits(out * (from_float ? 4 : 1), b.source, "source, without maps,")))
        return nullptr;
    return run([&] { loops.transform(b.source.buf, b.target.buf, task, channels, from_float, to_float); });
}

PyObject *py_move(PyObject *, PyObject *args) {
    Buffers b;
    Task task{};
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "y*w*y*y*(nnnnnn)i", &b.source, &b.target, &b.maps, &b.values, &task.n, &task.height,
                          &task.width, &size, &task.out_height, &task.out_width, &task.border))
        return nullptr;
    if (!fits(task.n * task.height * task.width * size, b.source, "source") ||
        !fits(task.n * task.out_height * task.out_width * size, b.target, "target") ||
        !fits(task.n * 48, b.maps, "maps") || !fits(size, b.values, "fill"))
        return nullptr;
    task.maps = static_cast<const double *>(b.maps.buf);
    return run([&] {
        loops.move(static_cast<const char *>(b.source.buf), static_cast<char *>(b.target.buf), task,
                   static_cast<const char *>(b.values.buf), size);
    });
}

PyObject *py_blur(PyObject *, PyObject *args) {
    Buffers b;
    Py_ssize_t n, height, width, channels, radius;
    int from_float, to_float;
    if (!PyArg_ParseTuple(args, "y*w*y*(nnnnn)(ii)", &b.source, &b.target, &b.maps, &n, &height, &width, &channels,
                          &radius, &from_float, &to_float))
        return nullptr;
    const Py_ssize_t values = n * height * width * channels;
    if (!fits(values * (from_float ? 4 : 1), b.source, "source") ||
        !fits(values * (to_float ? 4 : 1), b.target, "target") || !fits(n * (radius + 1) * 4, b.maps, "weights"))
        return nullptr;
    return run([&] {
        loops.blur(b.source.buf, b.target.buf, static_cast<const float *>(b.maps.buf), n, height, width, channels,
                   radius, from_float, to_float);
    });
}

PyObject *py_add_noise(PyObject *, PyObject *args) {
    Buffers b;
    Py_ssize_t n, size;
    float std, low, high;
    int from_float, to_float;
    if (!PyArg_ParseTuple(args, "y*w*y*(nn)(fff)(ii)", &b.source, &b.target, &b.maps, &n, &size, &std, &low, &high,
                          &from_float, &to_float))
        return nullptr;
    if (!fits(n * size * (from_float ? 4 : 1), b.source, "source") ||
        !fits(n * size * (to_float ? 4 : 1), b.target, "target") || !fits(n * 8, b.maps, "keys"))
        return nullptr;
    return run([&] {
        loops.add_noise(b.source.buf, b.target.buf, static_cast<const uint64_t *>(b.maps.buf), n, size, std, low, high,
                        from_float, to_float);
    });
}

PyObject *py_choose_loops(PyObject *, PyObject *args) {
    int wanted;
    if (!PyArg_ParseTuple(args, "p", &wanted)) return nullptr;
    return PyBool_FromLong(choose_loops(wanted));
}

}  // namespace

// The method table of the module, for _module.c.
extern "C" {
extern PyMethodDef kernel_methods[];

PyMethodDef kernel_methods[] = {
    {"transform", py_transform, METH_VARARGS, "Affine map, changes of color, one rounding."},
    {"move", py_move, METH_VARARGS, "Flips and shifts by whole pixels."},
    {"blur", py_blur, METH_VARARGS, "The mean of each value and its neighbors, weighted by a Gaussian kernel."},
    {"add_noise", py_add_noise, METH_VARARGS, "Normal noise from a key for each row, and one rounding."},
    {"choose_loops", py_choose_loops, METH_VARARGS, "Whether the wide loops are in use, if they are wanted."},
    {nullptr, nullptr, 0, nullptr},
};

void prepare_kernel() { choose_loops(true); }
}
