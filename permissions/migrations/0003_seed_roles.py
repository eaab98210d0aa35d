"""The roles every installation starts with (G4)."""

from django.db import migrations

from permissions import roles


def seed(apps, schema_editor):
    for name, held in roles.SEEDED.items():
        apps.get_model("permissions", "Role").objects.update_or_create(
            name=name, defaults={"permissions": list(held), "is_system": True}
        )


class Migration(migrations.Migration):
    dependencies = [("permissions", "0002_initial")]

    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
