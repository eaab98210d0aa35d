from __future__ import annotations

import django.db.models.deletion
import importer.models.fields
from django.conf import settings
from django.db import migrations, models


MARK = """
UPDATE external_refs e SET stands_in = true FROM importer_importrecord r
WHERE r.id = e.record_id AND r.code = 'placeholder_agent'
"""


class Migration(migrations.Migration):
    dependencies = [
        ("importer", "0010_jobs_of_people"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="externalref",
            name="stands_in",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.RunSQL(MARK, migrations.RunSQL.noop),
        migrations.CreateModel(
            name="AgentChoice",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("entity", models.CharField(max_length=64)),
                ("external_id", importer.models.fields.KeyField()),
                ("name", models.CharField(blank=True, max_length=255)),
                (
                    "action",
                    models.CharField(
                        choices=[("create", "Create"), ("match", "Match"), ("placeholder", "Placeholder")],
                        max_length=12,
                    ),
                ),
                ("person_name", models.CharField(blank=True, max_length=255)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "changed_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "person",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "profile",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="agent_choices",
                        to="importer.importprofile",
                    ),
                ),
            ],
            options={
                "ordering": ["entity", "external_id"],
                "constraints": [
                    models.UniqueConstraint(fields=("profile", "entity", "external_id"), name="agentchoice_unique"),
                    models.UniqueConstraint(
                        condition=models.Q(("action", "match")),
                        fields=("profile", "person"),
                        name="agentchoice_one_claim",
                    ),
                ],
            },
        ),
    ]
