from ._backbone import Backbone as Backbone
from ._load_backbone import list_backbones as list_backbones
from ._load_backbone import load_backbone as load_backbone
from ._tiny32 import Tiny32 as Tiny32
