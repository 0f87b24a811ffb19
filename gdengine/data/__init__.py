"""Data: corpora, tokens, images, and batches whose order is a function of (seed, epoch, index)."""

from . import augment
from .baselines import Bigram, Unigram
from .batches import Batches, in_batches
from .corpora import CORPORA, Document, python_docs, read_corpus, read_documents, read_text
from .files import TextFile, find_files, stdlib_files
from .images import Images, digits, mnist, read_idx
from .mixture import Mixture
from .prefetch import Prefetch
from .prepare import prepare
from .repeat import Repeat
from .splits import split, split_files, split_text, stratified, unseen_windows
from .token_file import TokenFile, TokenFileError, TokenWriter
from .tokenizers import BPETokenizer, ByteTokenizer, CharTokenizer, Tokenizer, tokenizer_from_json
from .windows import Windows, batched

__all__ = [
    "CORPORA",
    "BPETokenizer",
    "Batches",
    "Bigram",
    "ByteTokenizer",
    "CharTokenizer",
    "Document",
    "Images",
    "Mixture",
    "Prefetch",
    "Repeat",
    "TextFile",
    "TokenFile",
    "TokenFileError",
    "TokenWriter",
    "Tokenizer",
    "Unigram",
    "Windows",
    "augment",
    "batched",
    "digits",
    "find_files",
    "in_batches",
    "mnist",
    "prepare",
    "python_docs",
    "read_corpus",
    "read_documents",
    "read_idx",
    "read_text",
    "split",
    "split_files",
    "split_text",
    "stdlib_files",
    "stratified",
    "tokenizer_from_json",
    "unseen_windows",
]
