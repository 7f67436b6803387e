"""The loop: observe, locate, discover, measure, choose, agree, deploy, redirect. ``loop.py`` reads like that."""
