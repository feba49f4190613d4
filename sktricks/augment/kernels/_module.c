// The extension module _compiled, whose functions are in _kernels.cpp. This file is in C so that the extension is skipped
// without a working CC, although all else requires only CXX.

#define PY_SSIZE_T_CLEAN
#include <Python.h>

extern PyMethodDef kernel_methods[];
void prepare_kernel(void);

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_compiled", NULL, -1, kernel_methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__compiled(void) {
    prepare_kernel();
    return PyModule_Create(&module);
}
