"""IMDA's National Speech Corpus as delivered (Koh et al., Interspeech 2019), parts 1 to 6.

The corpus itself was not at hand where this was written. Layout, names and columns are those that public
programs rely on, and a delivery that differs is reported, not guessed at:

- parts 1 and 2: `ABOUT.txt` in Kaldi's egs/nsc/README.txt; lhotse/recipes/nsc.py; SEACrowd's
  national_speech_corpus_sg_imda: `DATA/CHANNEL0/SCRIPT/000011.TXT` (channel, speaker, session),
  `DATA/CHANNEL0/WAVE/SPEAKER0001.zip` with `SPEAKER0001/SESSION1/000010001.WAV`,
  `DOC/Speaker Information (Part 1).XLSX`.
- parts 3 to 6: zouxunlong/data_process, by an author of MNSC, and lhotse: `3000-1.TextGrid` and `3000-1.wav`,
  `conf_2500_2500_00862025.TextGrid`, `sur_0134_1268_phnd_cs-chn.wav`, `app_4001_6001_phnd_deb-1.wav`,
  `app_0683_0013_phnd_cc-bnk.wav`. Names carry everything, so folders may have any names.

Not known: whether a speaker of parts 3 to 6 is heard in another part under another number.
"""
