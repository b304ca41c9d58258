"""The boundary step of corpus counts, stratified by repetition and kinds of tokens."""
