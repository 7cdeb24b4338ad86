"""The gate for MLflow: a registry client, and a server plugin that refuses what the gate does not permit.

The client needs `verifluxa[mlflow]` (mlflow-skinny), the server all of mlflow. Nothing else imports mlflow.
"""
