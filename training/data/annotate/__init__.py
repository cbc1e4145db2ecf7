"""More rows out of transcripts: questions and summaries by a language model, gender and accent as known.

Any OpenAI endpoint is asked, each question once: answers go into append-only logs, shards are made of these.
"""
