"""AudioBench's and MMAU's tasks, asked of any OpenAI-compatible endpoint: Tables 2, 3 and 4 of the paper."""
