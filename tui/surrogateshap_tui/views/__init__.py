"""What the workspace's tabs hold: plan, run, ranking, diagnostics, record.

A view is a widget with one method `show(session)`, which draws what the session knows now. The workspace calls it when
the session has changed or the tab is gone to, and only while the tab is in sight. A view changes nothing but itself;
what users ask goes to the session.
"""
