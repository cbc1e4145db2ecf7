"""See ui/voice/page.py."""

from ui.voice.page import voice_chat

voice_chat()
