"""Faithfulness: does a model's answer depend on what its relevancy maps say it depends on?"""
