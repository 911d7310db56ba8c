"""Is the database healthy? Every check, one verdict."""

from dbops.operations.doctor.answer import Diagnosis, Doctor, Finding
from dbops.operations.doctor.doctor import doctor

__all__ = ["Diagnosis", "Doctor", "Finding", "doctor"]
