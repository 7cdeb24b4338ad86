"""What the server answers when it refuses: HTTP 403 with every reason."""

from __future__ import annotations

from verifluxa.errors import GateError, VerifluxaError
from verifluxa.gate.reference import Reference


def refusal(what: str, reasons: tuple[VerifluxaError, ...]) -> Exception:
    """A refusal as MLflow answers it: HTTP 403 with every reason."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import PERMISSION_DENIED

    lines = [f"{item.code}: {item.message}" for item in reasons]
    error: Exception = MlflowException("; ".join([what, *lines]), error_code=PERMISSION_DENIED)
    return error


def no_withdrawal(what: str) -> Exception:
    """A refusal to take a version out of production (VF6091)."""
    reason = GateError(
        "VF6091",
        "a version in production may not be taken away so",
        place=what,
        expected="the promotion of another version",
        remedy="promote another version; or let the policy's owner set `withdrawal = true`",
    )
    return refusal(f"the gate denies taking {what} out of production", (reason,))


def no_rename() -> GateError:
    """The reason for models whose every version must be certified (VF6092)."""
    return GateError(
        "VF6092",
        "a model whose every version must be certified keeps its name and its numbers",
        expected="copies of certified versions, each with a certificate for its new name and number",
        remedy="sign the certificate for the new name and number, then copy the version",
    )


def changed(reference: Reference) -> GateError:
    """The reason for files that changed meanwhile (VF6083)."""
    return GateError(
        "VF6083",
        "the files were changed while they were promoted; the change of the registry was taken back",
        place=str(reference),
        expected="files that stay as they were checked",
        remedy="find out who writes to this version's files, then promote again",
    )


def no_tag() -> GateError:
    """The reason for tags in the gate's name (VF6093)."""
    return GateError(
        "VF6093",
        "tags that begin with verifluxa. say what the gate decided, and nothing else",
        expected="the values that the log of decisions gives",
        remedy="promote the version with `verifluxa gate promote`; it writes the tags",
    )


def no_prompt() -> GateError:
    """The reason for tags that hide a live model from MLflow's searches (VF6094)."""
    return GateError(
        "VF6094",
        "a model that is live may not be made a prompt: searches would no longer show it",
        expected="tags other than mlflow.prompt.*",
        remedy="keep prompts under names of their own",
    )


def not_served(uri: str) -> GateError:
    """The reason for files that the server does not store itself (VF6088)."""
    return GateError(
        "VF6088",
        "the version's files are not where this server keeps artifacts",
        place=uri[:200],
        expected="a source such as mlflow-artifacts:/0/RUN/artifacts/model, with no host in it",
        remedy="log the files through this server and register the version from there, not as runs:/ or another URL",
    )


def not_frozen(place: str) -> GateError:
    """The reason for writes to what is certified, and for copies of it that went wrong (VF6089)."""
    return GateError(
        "VF6089",
        "what was certified is written once, by the gate alone",
        place=place[:200],
        expected="the bytes that were decided about, in the gate's own folder of the artifact store",
        remedy="upload elsewhere, register another version and promote it",
    )
