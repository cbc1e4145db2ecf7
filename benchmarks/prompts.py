"""Which prompts make the small text model answer best: right answers out of asked, on the bundled samples.

python -m benchmarks.prompts            # every template, ten minutes
python -m benchmarks.prompts --quotes   # only the quoted sentence, half a minute

Each sample is heard by Whisper as in the demo, then every template puts its questions to the model.
An answer is right when it holds one of the accepted strings. Longer answers hit more by chance, so their
length stands beside. A summary is judged by its grounding: the share of its content words, and of its numbers
and names, that were said in the clip.
"""

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from benchmarks.report import save
from model.audio import decode
from model.embedded import evidence, prompts, weights
from model.embedded.prompts import Template
from model.embedded.recogniser import Recogniser
from model.embedded.text_model import Sampling, TextModel
from samples.wer import words

SAMPLES = Path(__file__).parents[1] / "samples"
SHORT = 4  # letters; shorter words are mostly grammar

ANSWERS = {
    "in use: " + repr(prompts.ANSWER.user): prompts.ANSWER,
    "labelled": Template("", "Transcript: {transcript}\n\nQuestion: {question}", (), ("\n",), 60),
    "labelled, with rules": Template(
        "You answer questions about a recording in a few words, using only its transcript.",
        "Transcript: {transcript}\n\nQuestion: {question}",
        (),
        ("\n",),
        60,
    ),
    "labelled, with rules and an example": Template(
        "You answer questions about a recording in a few words, using only its transcript.",
        "Transcript: {transcript}\n\nQuestion: {question}",
        (
            (
                "Transcript: Hello Sarah, the bus to Jurong leaves at ten past six, so bring an umbrella."
                "\n\nQuestion: When does the bus leave?",
                "It leaves at ten past six.",
            ),
        ),
        ("\n",),
        60,
    ),
}
SUMMARIES = {
    "in use: " + repr(prompts.SUMMARISE.user): prompts.SUMMARISE,
    "with rules": Template(
        "You summarise recordings in one or two sentences.",
        "Summarise this recording: {transcript}",
        (),
        ("\n\n",),
        120,
    ),
    "one sentence, after": Template(
        "", "{transcript}\n\nSummarise the text above in one sentence.", (), ("\n",), 120
    ),
}


def hear(samples: list[dict[str, Any]]) -> dict[str, str]:
    """Each sample's transcript by Whisper, as the engine hears it."""
    model = Recogniser(weights.whisper_folder(weights.default_cache()), os.cpu_count() or 1)
    heard = {}
    for sample in samples:
        pieces = model.recognise(decode((SAMPLES / str(sample["file"])).read_bytes()))
        heard[str(sample["id"])] = "".join(piece for piece in pieces if isinstance(piece, str)).strip()
    return heard


async def write(model: TextModel, template: Template, transcript: str, question: str) -> str:
    """The model's greedy answer."""
    sampling = Sampling(max_tokens=template.max_tokens, stop=template.stop)
    pieces = model.complete(template.messages(transcript, question), sampling)
    return "".join([piece.text async for piece in pieces]).strip()


def is_right(answer: str, accepted: list[str]) -> bool:
    """Whether an accepted string stands in the answer, as words."""
    said = f" {' '.join(words(answer))} "
    return any(f" {' '.join(words(string))} " in said for string in accepted)


def grounding(summary: str, transcript: str) -> tuple[int, int]:
    """Words of the summary that carry content, and how many of them were said."""
    said = {_stem(word) for word in words(transcript)}
    content = [word for word in words(summary) if len(word) >= SHORT or word.isdigit()]
    return sum(_stem(word) in said for word in content), len(content)


def _stem(word: str) -> str:
    return re.sub(r"(ing|ed|es|s)$", "", word)


def questions(samples: list[dict[str, Any]], heard: dict[str, str]) -> list[tuple[str, str, list[str]]]:
    """(transcript, question, accepted answers) of every question in the manifest."""
    return [
        (heard[sample["id"]], prompt["text"], prompt["answers"])
        for sample in samples
        for prompt in sample["prompts"]
        if prompt["task"] == "answer"
    ]


def measure_quotes() -> None:
    """How often the sentence that is quoted from the transcript holds the answer."""
    samples = json.loads((SAMPLES / "manifest.json").read_text(encoding="utf-8"))["samples"]
    asked = questions(samples, hear(samples))
    quotes = [evidence.best_sentence(transcript, question) for transcript, question, _ in asked]
    right = sum(is_right(quote, item[2]) for quote, item in zip(quotes, asked, strict=True))
    length = sum(len(quote.split()) for quote in quotes) / len(asked)
    save(
        "quotes",
        "The sentence that the embedded engine quotes",
        "python -m benchmarks.prompts --quotes",
        ["what", "right", "words"],
        [["best sentence of the transcript", f"{right}/{len(asked)}", f"{length:.0f}"]],
        f"Over Whisper base's transcripts of {len(samples)} samples, whose questions also shaped its rules.",
    )


async def measure() -> None:
    """Ask everything of every template and write the tables."""
    samples = json.loads((SAMPLES / "manifest.json").read_text(encoding="utf-8"))["samples"]
    heard = hear(samples)
    model = TextModel(weights.text_model(), os.cpu_count() or 1, 1)
    asked = questions(samples, heard)
    rows = []
    for name, template in ANSWERS.items():
        answers = [await write(model, template, transcript, question) for transcript, question, _ in asked]
        right = sum(is_right(answer, item[2]) for answer, item in zip(answers, asked, strict=True))
        length = sum(len(answer.split()) for answer in answers) / len(asked)
        rows.append(["answer", name.replace("|", "/"), f"{right}/{len(asked)}", f"{length:.0f}"])
        print(rows[-1], flush=True)
    for name, template in SUMMARIES.items():
        made = [(await write(model, template, transcript, ""), transcript) for transcript in heard.values()]
        pairs = [grounding(summary, transcript) for summary, transcript in made]
        share = sum(said for said, _ in pairs) / max(1, sum(content for _, content in pairs))
        length = sum(len(summary.split()) for summary, _ in made) / len(made)
        rows.append(["summary", name.replace("|", "/"), f"{share:.0%} grounded", f"{length:.0f}"])
        print(rows[-1], flush=True)
    save(
        "prompts",
        "Prompt templates of the embedded engine",
        "python -m benchmarks.prompts",
        ["task", "template", "result", "words an answer"],
        rows,
        f"SmolLM2-135M-Instruct Q4_1, greedy, over Whisper base's transcripts of {len(samples)} samples.",
    )
    await model.close()


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if "--quotes" in sys.argv:
        measure_quotes()
    else:
        asyncio.run(measure())
    os._exit(0)  # llama.cpp's threads do not end by themselves
