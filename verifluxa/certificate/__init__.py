"""Certificates: the signed statement, its evidence file, and the independent checker.

Nothing here is imported with the package: `verifluxa.certificate.check` runs with numpy and lark alone,
signing needs `cryptography`, and neither needs torch.
"""
