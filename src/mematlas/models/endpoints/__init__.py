"""Models behind an API: a server that is asked over HTTP, as OpenAI's, vLLM's or llama.cpp's; api:URL#MODEL."""
