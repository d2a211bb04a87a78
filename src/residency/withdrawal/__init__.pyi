from .withdrawing import Patient, Withdrawal, withdraw

__all__ = ["Patient", "Withdrawal", "withdraw"]
