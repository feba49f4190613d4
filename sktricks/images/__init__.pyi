from ._image_folder import read_image_folder as read_image_folder
from ._image_loader import ImageLoader as ImageLoader
