from ._export import export_onnx as export_onnx
from ._onnx_errors import OnnxMismatchError as OnnxMismatchError
from ._onnx_errors import UnsupportedForOnnxError as UnsupportedForOnnxError
from ._onnx_estimators import OnnxClassifier as OnnxClassifier
from ._onnx_estimators import OnnxRegressor as OnnxRegressor
from ._onnx_estimators import load_onnx as load_onnx
from ._onnx_model import OnnxModel as OnnxModel
from ._report import ExportReport as ExportReport
