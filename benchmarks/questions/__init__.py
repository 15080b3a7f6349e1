"""Small question-answering models over generated scenes, where it is known which regions and words matter.

`python -m benchmarks.questions.train` trains both models, `python -m benchmarks.questions.dataset OUT` writes a
dataset folder for `python -m jobs run`, `python -m benchmarks.questions.measure` measures the committed weights.
"""
