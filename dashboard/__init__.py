"""The dashboard: a Streamlit app that reads an audit store and nothing else."""
