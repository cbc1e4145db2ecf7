"""The metrics of AudioBench and MMAU to the digit: a file each; `python -m evaluation.metrics` runs them.

    normaliser  text as words are compared       wer    word error rate over a corpus
    bleu        corpus BLEU, tokenizer named     judge  a rating read from a judge's reply
    mmau        MMAU's string match              contains  ours: an accepted phrase stands in the answer
    intervals   95 % by bootstrap over clips     rows   the command's input, a line at a time

Two kinds of metric are not comparable with what others print under the same name. WER: the normaliser does
more than Whisper's and changes about half of all texts further, so that a WER here stands beside AudioBench's
and not beside the Open ASR leaderboard's. BLEU: AudioBench cut En-Zh with sacrebleu's `zh` until March 2025,
which the paper's tables show, and with `flores101` since; the signature in every result says which.
"""
