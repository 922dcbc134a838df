"""Packs packages and ships one; one is never packed, because its transaction fails."""
from models import Package, engine, ship
from sqlalchemy.orm import Session

with Session(engine) as session:
    package = Package(number="A-1")
    session.add(package)
    session.commit()
    ship(session, package)
    session.commit()
    session.add(Package(number="never"))
    session.flush()
    session.rollback()
