"""What a panel can draw of a run: one number a record, by the names that the book's tables use."""

from minitrain.training.loop import Record
from minitrain.training.metrics import KINDS, SLICES

NAMES = (
    "val_loss",
    "train_loss",
    "val_loss − train_loss",
    "accuracy.train.all",
    *(f"accuracy.val.{name}" for name in SLICES),
    *(f"‖{kind}‖" for kind in KINDS),
    "gradient_norm",
    "learning_rate",
)


def values(record: Record) -> dict[str, float | None]:
    """Every number of `NAMES` that the record has."""
    return {
        "val_loss": record.val_loss,
        "train_loss": record.train_loss,
        "val_loss − train_loss": record.val_loss - record.train_loss,
        "accuracy.train.all": record.accuracy["train"]["all"],
        **{f"accuracy.val.{name}": x for name, x in record.accuracy["val"].items()},
        **{f"‖{kind}‖": x for kind, x in record.weight_norms.items()},
        "gradient_norm": record.gradient_norm,
        "learning_rate": record.learning_rate,
    }
