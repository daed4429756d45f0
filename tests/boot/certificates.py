"""Certificates for the names that the guide uses."""

import subprocess
from pathlib import Path


def make_certificates(folder: Path, names: list[str]) -> None:
    """Makes an authority in `ca.pem`, and in `cert.pem` a certificate of it for these names, with its key in `key.pem`."""
    new_key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    alternatives = ",".join(f"DNS:{name}" for name in names)
    script = f"""
        openssl req -x509 {new_key} -keyout ca.key -out ca.pem -subj /CN=authority -days 30
        openssl req {new_key} -keyout key.pem -out request.pem -subj /CN={names[0]}
        printf 'subjectAltName={alternatives}\\nbasicConstraints=CA:FALSE\\n' >extensions
        openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem -days 30 -extfile extensions
    """
    subprocess.run(["bash", "-ec", script], cwd=folder, check=True, capture_output=True)
