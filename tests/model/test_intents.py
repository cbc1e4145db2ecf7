"""The specification of what an instruction is taken to ask for."""

import pytest

from model.embedded.intents import understand

ASKED = {
    "transcribe": [
        "Please transcribe this speech.",
        "Transcribe",
        "Can you transcribe the audio for me?",
        "Write down what is said.",
        "Write out exactly what you hear in the recording, word for word.",
        "Text instruction: Please transcribe.",
        "What did he say?",
        "What is being said?",
        "What does the speaker say in this clip?",
        "Give me a transcript of the clip",
        "I need the subtitles",
        "Repeat what was said",
    ],
    "talk": [
        "Answer what is said, as in a conversation, in one or two short spoken sentences.",
        "Reply to what is said, as in a conversation",
    ],
    "translate": [
        "Translate into English",
        "Please translate this.",
        "Translate the speech to English.",
        "Could you translate the Mandarin speech into English?",
        "translate what he says",
        "What is the translation?",
        "Say it in English",
    ],
    "translate:malay": [
        "Translate this into Malay",
        "Please translate to Bahasa Malay.",
        "Say this in Malay",
    ],
    "translate:chinese": ["translate the clip to Chinese", "Translate into simplified Chinese please"],
    "translate:tamil": ["Translate the English speech into Tamil."],
    "summarise": [
        "Summarise this in one sentence.",
        "Please give me a summary",
        "What are the main points?",
        "What is this about?",
        "Summarize the transcript",
        "tl;dr",
        "What was the conversation about?",
    ],
    "transcribe+summarise": [
        "Transcribe and summarise this clip.",
        "Please transcribe, then give me a summary.",
    ],
    "transcribe+translate": ["Transcribe this and translate it into English."],
    "answer": [
        "What drink does she order?",
        "Who is Mei Ling?",
        "Where are they going to meet?",
        "How many packets of chicken rice does he buy?",
        "How many people are coming to dinner?",
        "What does the speaker say about the weather?",
        "Why is the woman angry?",
        "What is the name of the station?",
        "When does the music lesson start?",
        "Is the man going to the market?",
        "Tell me a joke about this.",
        "What number should I call?",
        "Which language does the customer want the form in?",
        "Don't transcribe it, just tell me the price.",
        "Who is going to speak at the meeting?",
        "Who is the speaker talking about?",
        "Who's the speaker talking to?",
        "Who's talking about the exam?",
        "Who is speaking at the conference tomorrow?",
        "Who's the speaker's boss?",
        "Is the woman going home?",
        "Is the man a doctor?",
        "Is the speaker a manager?",
    ],
    "speaker": [
        "Who is speaking?",
        "Who's talking?",
        "Who is speaking? Describe each speaker's voice and accent.",
        "Describe the speaker's characteristics including gender, accent, and emotion.",
        "Is the speaker male or female?",
        "Is the speaker a man or a woman?",
        "Is the caller a woman?",
        "Are the speakers men or women?",
        "Are the speakers females?",
        "What is the gender of the speaker?",
        "What is the speaker's sex?",
    ],
    "person": [
        "How many people are speaking?",
        "How many people are speaking, and who are they?",
        "How many speakers are there?",
        "Is the speaker a child?",
        "What is the speaker's age and gender?",
        "How many speakers are there and are they male or female?",
        "What accent does the speaker have?",
        "What emotion do you hear?",
        "How old is the speaker?",
        "Identify the speakers.",
        "Does she sound happy?",
        "Where is the speaker from?",
    ],
    "sound": [
        "What sounds can be heard besides speech?",
        "Is there any background noise?",
        "What do you hear?",
        "Describe the sounds in this clip.",
        "What kind of music is playing?",
        "Where was this recorded?",
        "Caption this audio.",
    ],
}


@pytest.mark.parametrize(
    ("instruction", "expected"), [(text, kind) for kind, texts in ASKED.items() for text in texts]
)
def test_instruction_is_understood(instruction: str, expected: str) -> None:
    found = "+".join(
        intent.task + (f":{intent.language}" if intent.language else "") for intent in understand(instruction)
    )
    assert found == expected
