"""See ui/cascade/page.py."""

from ui.cascade.page import cascade_page

cascade_page()
