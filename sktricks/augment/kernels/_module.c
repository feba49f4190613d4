// The module _compiled, of what _kernels.cpp has. It is in C, so that without a working CC there is no extension, although
// the rest asks for CXX alone.

#define PY_SSIZE_T_CLEAN
#include <Python.h>

extern PyMethodDef kernel_methods[];
void prepare_kernel(void);

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_compiled", NULL, -1, kernel_methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__compiled(void) {
    prepare_kernel();
    return PyModule_Create(&module);
}
