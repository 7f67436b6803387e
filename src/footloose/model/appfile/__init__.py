"""The app file: a Compose file with an ``x-footloose`` block per service, read into a draft and sealed into an app.

The steps, one file each: ``document`` (YAML with positions), ``shape`` (the published JSON Schema), ``sense`` (what a
schema cannot say), ``parse`` (all three, into a draft), ``seal`` (artifacts, and the app itself).
"""

from footloose.model.appfile.draft import AppDraft, ServiceDraft
from footloose.model.appfile.parse import load_app_file, parse_app_file
from footloose.model.appfile.problems import AppFileError, FileProblems, Problem, Spot
from footloose.model.appfile.seal import Artifact, Inspect, read_artifacts, seal
from footloose.model.appfile.shape import schema_text

__all__ = [
    "AppDraft",
    "AppFileError",
    "Artifact",
    "FileProblems",
    "Inspect",
    "Problem",
    "ServiceDraft",
    "Spot",
    "load_app_file",
    "parse_app_file",
    "read_artifacts",
    "schema_text",
    "seal",
]
