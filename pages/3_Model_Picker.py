"""See ui/picker/page.py."""

from ui.picker.page import model_picker

model_picker()
